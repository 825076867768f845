"""Retrainings of other shapes: arms of one's own, fewer parts, other images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from synaug_core.data import parquet
from synaug_core.names import slug


@pytest.fixture(scope="module")
def done(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> Callable[..., tuple[Any, Any]]:
    """Runs a configuration that must work; its outcome and its runs."""

    def check(name: str, **changes: Any) -> tuple[Any, Any]:
        said = retrain(tiny(name, **changes))
        assert said.code == 0, said.err
        [run] = runs_of(name)
        assert {r.info.status for r in run.all()} == {"FINISHED"}
        return said, run

    return check


def test_an_arm_in_a_few_lines_of_yaml_with_searches_for_each_arm(done: Callable[..., tuple[Any, Any]]) -> None:
    arm = {"name": "wild", "sampling": "balanced", "synthesis": {"strategy": "prior", "sampling_strategy": {"2": 40}}}
    said, run = done(
        "wild", arms=[arm, "original", "balanced"], repetitions=1, tuning={"scope": "per_arm", "trials": 1}
    )
    assert list(said.outcome["arms"]) == ["wild", "original", "balanced"]
    assert [r.info.run_name for r in run.of("tuning")] == ["tuning wild", "tuning original", "tuning balanced"]
    assert [len(r.below) for r in run.of("tuning")] == [1, 1, 1]
    assert [r.params["classes"] for r in run.of("generator")] == ["2"]
    [synthesis] = run.of("synthesis")
    made = parquet.read(synthesis.place / "images" / "synthetic.parquet")
    assert made.counts()["2"] == 40 - said.outcome["dataset"]["train"]["2"]
    trained_on = {r.tags["synaug.arm"]: int(r.params["training_images"]) for r in run.of("repetition")}
    real = sum(said.outcome["dataset"]["train"].values())
    shares = [r.params.get("best.synthetic_share") for r in run.of("tuning")]
    assert shares[1:] == [None, None], "nothing is searched that an arm does not use"
    used = round(float(shares[0]) * len(made))
    assert trained_on == {"wild": real + used, "original": real, "balanced": real}
    assert {r.tags["synaug.arm"]: int(r.params["synthetic_images"]) for r in run.of("repetition")}["wild"] == used
    told = said.outcome["training_images"]
    assert told["wild"] == {"real": said.outcome["dataset"]["train"], "synthetic": {"0": 0, "1": 0, "2": used}}
    assert set(told["original"]["synthetic"].values()) == {0}
    lines = [line for line in said.err.splitlines() if "trial 0, 30 steps: done" in line]
    assert [line.split("tuning: ")[1].split(":")[0] for line in lines] == [
        *(f"{arm} trial 0, 30 steps" for arm in ("wild", "original", "balanced")),
    ]
    assert "3 of 3" in lines[-1]


def test_controls_alone_without_search_and_registry(done: Callable[..., tuple[Any, Any]], mlflow: Any) -> None:
    said, run = done(
        "plain",
        arms=["original", "control"],
        repetitions=1,
        tuning={"trials": 0},
        promotion={"enabled": False},
        robustness={"enabled": False},
        explanation={"enabled": False},
    )
    assert {r.stage for r in run.all()} == {"retrain", "dataset", "arm", "repetition", "comparison"}
    assert (said.outcome["model"], said.outcome["promotion"]) == (None, None)
    assert said.outcome["sentence"] == "No gain shown: every arm that was compared is a control."
    assert said.outcome["steps"] == 5
    assert not [m for m in mlflow.search_registered_models() if m.name == "synaug-plain"]


def test_arms_of_a_repetition_start_from_the_same_weights(done: Callable[..., tuple[Any, Any]]) -> None:
    """A learning rate that moves nothing leaves the initial weights to be compared."""
    _, run = done("still", tuning={"trials": 0}, classifier={"learning_rate": 1e-30, "weight_decay": 0.0})
    weights: dict[str, list[dict[str, torch.Tensor]]] = {"0": [], "1": []}
    for repetition in run.of("repetition"):
        found = load_file(repetition.place / "classifier" / "weights.safetensors")
        learnt = {k: v for k, v in found.items() if k.endswith(("weight", "bias"))}
        assert len(learnt) > 4
        weights[repetition.tags["synaug.seed"]].append(learnt)
    for of_arms in weights.values():
        assert len(of_arms) == 3
        for other in of_arms[1:]:
            assert other.keys() == of_arms[0].keys()
            assert all(torch.allclose(other[k], of_arms[0][k], rtol=0, atol=1e-20) for k in other)
    first, second = weights["0"][0], weights["1"][0]
    assert not torch.allclose(first["linear.weight"], second["linear.weight"])


def test_colour_images_with_a_class_of_two_and_hostile_names(
    done: Callable[..., tuple[Any, Any]], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    counts = {"a b": 24, "c&d": 12, "=e": 2}
    data = {"source": str(draw_images(tmp_path, counts, 20)), "classes": None, "long_tail": None}
    said, run = done(
        "colour",
        data=data | {"image_size": None, "small_classes": "keep"},
        repetitions=1,
        tuning={"trials": 0},
        classifier={"backbone": "resnet10t", "steps": 2, "batch_size": 8},
    )
    outcome = said.outcome
    assert set(outcome["dataset"]["classes"]) == set(counts)
    assert outcome["dataset"]["train"]["=e"] + outcome["dataset"]["test"]["=e"] <= 2
    [dataset] = run.of("dataset")
    train = parquet.read(dataset.place / "images" / "train.parquet")
    assert (train.channels, train.size) == (3, 20)
    figures = outcome["arms"]["original"]
    for name, images in outcome["dataset"]["test"].items():
        supports = [v["mean"] for k, v in figures.items() if k == f"test/class/{slug(name)}/support"]
        assert supports == ([images] if images else []), "a class without test images is left out, never 0"
    page = Path(outcome["comparison_page"]).read_text()
    assert "c&amp;d" in page


def test_a_class_without_test_images_is_told_and_keeps_a_model_from_promotion(
    done: Callable[..., tuple[Any, Any]], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    data = {"source": str(draw_images(tmp_path, {"cat": 20, "dog": 20, "lone": 1}, 20)), "classes": None}
    said, _ = done(
        "lone",
        data=data | {"long_tail": None, "small_classes": "keep"},
        arms=["original"],
        repetitions=1,
        tuning={"trials": 0},
        robustness={"enabled": False},
        explanation={"enabled": False},
    )
    assert said.outcome["dataset"]["test"]["lone"] == 0
    note = "No test images of lone: performance on it is unknown, and balanced accuracy leaves it out."
    assert said.outcome["notes"].count(note) == 1
    assert f"Note: {note}" in said.out
    assert note in Path(said.outcome["comparison_page"]).read_text()
    assert said.outcome["model"]["alias"] == "challenger"
    reason = "Not promoted: there are no test images of lone; promote by hand if that is meant."
    assert said.outcome["promotion"] == reason


def test_two_classes_and_a_plan_by_ratio(done: Callable[..., tuple[Any, Any]]) -> None:
    said, run = done(
        "pair",
        data={"classes": [3, 1]},
        arms=["original", "synthetic"],
        repetitions=1,
        tuning={"trials": 0},
        synthesis={"sampling_strategy": 0.5, "pairing": "neighbours", "path": "spherical", "ends": "sample"},
    )
    assert said.outcome["dataset"]["classes"] == ["3", "1"]
    train = said.outcome["dataset"]["train"]
    made = sum(v for r in run.of("synthesis") for k, v in r.metrics.items() if k.startswith("images/"))
    assert train["1"] + made == train["3"] // 2
    assert "test/macro_auc" in said.outcome["arms"]["original"]


def test_classes_of_equal_size_need_no_images_and_no_generator(
    done: Callable[..., tuple[Any, Any]], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    draw_images(tmp_path, {"a": 20, "b": 20}, split="train")
    draw_images(tmp_path, {"a": 5, "b": 5}, split="val")
    draw_images(tmp_path, {"a": 5, "b": 5}, split="test")
    said, run = done(
        "equal",
        data={"source": str(tmp_path), "classes": None, "long_tail": None},
        arms=["original", "synthetic"],
        repetitions=1,
        tuning={"trials": 1, "steps": 2, "arms": ["original"]},
    )
    assert said.outcome["dataset"]["train"] == {"a": 20, "b": 20}
    assert any("arm synthetic uses hyper-parameters that were tuned for original" in n for n in said.outcome["notes"])
    assert not run.of("generator")
    assert not run.of("synthesis")
    assert {r.params["training_images"] for r in run.of("repetition")} == {"40"}


def test_one_search_over_rounds_counts_all_its_trials(done: Callable[..., tuple[Any, Any]]) -> None:
    said, run = done("rounds", arms=["synthetic"], repetitions=1, tuning={"trials": 3, "parallel": 2, "steps": 10})
    [tuning] = run.of("tuning")
    rows = json.loads((tuning.place / "trials.json").read_text())
    assert [(r["number"], r["round"]) for r in rows] == [(0, 0), (1, 0), (2, 1)]
    assert sorted(r.params["steps"] for r in tuning.below) == ["10", "10", "3", "3", "3"]
    assert said.outcome["sentence"].startswith("No gain shown: there is no control")
    lines = [line for line in said.err.splitlines() if "tuning: trial" in line and "done" in line]
    assert ["10 steps" in line for line in lines] == [False, False, False, True, True]
    assert "5 of 5" in lines[-1]
