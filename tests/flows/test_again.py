"""The same home again: unchanged, with another configuration, with something deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def made(run: Any) -> list[Any]:
    """The runs that computed something, without those that stand for an earlier one's result."""
    return [r for r in run.all() if "synaug.reused_from" not in r.tags]


def reused(run: Any) -> list[tuple[str, str]]:
    return [(r.stage, r.tags["synaug.reused_from"]) for r in run.all() if "synaug.reused_from" in r.tags]


@pytest.fixture(scope="module")
def unchanged(first: Any, tiny: Callable[..., Any], retrain: Callable[..., Any]) -> Any:
    said = retrain(tiny())
    assert said.code == 0, said.err
    return said


@pytest.fixture(scope="module")
def changed(unchanged: Any, tiny: Callable[..., Any], retrain: Callable[..., Any]) -> Any:
    """Other steps of the classifier: everything from the search on is new, what lies before is not."""
    said = retrain(tiny(classifier={"steps": 300}))
    assert said.code == 0, said.err
    return said


def test_unchanged_nothing_is_done_again(
    first: Any, unchanged: Any, runs_of: Callable[[str], list[Any]], registered: Callable[[str], Any]
) -> None:
    was, now = first.outcome, unchanged.outcome
    assert now["cached_steps"] == now["steps"] > 0
    differing = {key for key in was if was[key] != now[key]}
    assert differing <= {"steps", "cached_steps", "seconds"}
    assert "done in" not in unchanged.err.partition("start: libraries and servers: done in")[2]


def test_unchanged_nothing_is_recorded_again(first: Any, unchanged: Any, mlflow: Any) -> None:
    parents = [
        r
        for r in mlflow.search_runs([first.run.info.experiment_id], max_results=1000)
        if r.info.start_time <= first.run.info.end_time
    ]
    assert len(parents) == len(first.run.all())
    again = mlflow.get_run(first.run.info.run_id)
    assert again.info.status == "FINISHED"
    assert again.data.params == first.run.params
    history = mlflow.get_metric_history(first.run.of("repetition")[0].info.run_id, "test/accuracy")
    assert len(history) == 1


def test_another_classifier_reuses_data_generators_judges_and_images(
    first: Any, changed: Any, runs_of: Callable[[str], list[Any]]
) -> None:
    assert changed.outcome["run_id"] != first.outcome["run_id"]
    run = next(r for r in runs_of("tiny") if r.info.run_id == changed.outcome["run_id"])
    originals = {r.info.run_id: r for r in first.run.all()}
    assert sorted(stage for stage, _ in reused(run)) == ["dataset", *["generator"] * 2, "judge", *["synthesis"] * 2]
    for stand_in in (r for r in run.all() if "synaug.reused_from" in r.tags):
        original = originals[stand_in.tags["synaug.reused_from"]]
        assert (stand_in.stage, stand_in.metrics) == (original.stage, original.metrics)
        assert original.info.run_id in stand_in.tags["mlflow.note.content"]
    assert sorted({r.stage for r in made(run)}) == [
        *("arm", "comparison", "explanation", "promotion", "quality", "repetition", "retrain", "robustness"),
        *("trial", "tuning"),
    ]
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert {r.params["steps"] for r in run.of("repetition")} == {"300"}
    assert changed.outcome["cached_steps"] == 6
    assert changed.outcome["steps"] == first.outcome["steps"]
    assert changed.outcome["dataset"] == first.outcome["dataset"]


def test_the_gate_measures_both_models_on_the_same_images(
    first: Any, changed: Any, runs_of: Callable[[str], list[Any]], registered: Callable[[str], Any], mlflow: Any
) -> None:
    run = next(r for r in runs_of("tiny") if r.info.run_id == changed.outcome["run_id"])
    [promotion] = run.of("promotion")
    decision = json.loads((promotion.place / "decision.json").read_text())
    figures = decision["figures"]
    versions, aliases = registered("tiny")
    assert set(versions) == {"1", "2"}
    champion, challenger = (mlflow.get_run(mlflow.get_model_version("synaug-tiny", v).run_id).data for v in "12")
    assert figures["images"] == sum(first.outcome["dataset"]["test"].values())
    for role, kept in (("champion", champion), ("challenger", challenger)):
        assert figures[f"{role}_balanced_accuracy"] == pytest.approx(kept.metrics["test/balanced_accuracy"])
        assert figures[f"{role}_rarest_recall"] == pytest.approx(kept.metrics["test/class/2/recall"])
    assert figures["rarest_classes"] == ["2"]
    no_worse = figures["balanced_accuracy"]["mean"] >= -decision["tolerance"]
    better = figures["rarest_recall"]["low"] > 0
    assert decision["promoted"] == (no_worse and better)
    said = changed.outcome["promotion"]
    assert said == decision["reason"] == versions["2"]["synaug.decision"] == promotion.tags["synaug.decision"]
    assert float(versions["2"]["synaug.challenger_balanced_accuracy"]) == pytest.approx(
        figures["challenger_balanced_accuracy"], rel=1e-5
    )
    assert promotion.metrics["promoted"] == float(decision["promoted"])
    assert decision["promoted"], "five times the steps were meant to make a better model"
    assert said.startswith("Promoted: no worse overall")
    assert aliases == {"champion": "2", "previous": "1"}
    model = {"name": "synaug-tiny", "version": "2", "alias": "champion", "arm": versions["2"]["synaug.arm"]}
    assert changed.outcome["model"] == model


def test_another_confidence_trains_nothing_and_the_gate_refuses_an_equal_model(
    first: Any,
    changed: Any,
    tiny: Callable[..., Any],
    retrain: Callable[..., Any],
    runs_of: Callable[[str], list[Any]],
    registered: Callable[[str], Any],
) -> None:
    said = retrain(tiny(classifier={"steps": 300}, evaluation={"confidence": 0.9}))
    assert said.code == 0, said.err
    assert said.outcome["steps"] - said.outcome["cached_steps"] == 2, "the comparison and its report alone"
    assert said.outcome["run_id"] not in {first.outcome["run_id"], changed.outcome["run_id"]}
    assert "90 % interval" in said.out
    run = next(r for r in runs_of("tiny") if r.info.run_id == said.outcome["run_id"])
    assert sorted({r.stage for r in made(run)}) == ["arm", "comparison", "promotion", "retrain", "tuning"]
    assert {stage for stage, _ in reused(run)} == {
        *("dataset", "generator", "judge", "synthesis", "quality", "trial", "repetition", "robustness"),
        "explanation",
    }
    for arm, metrics in said.outcome["arms"].items():
        for metric, interval in metrics.items():
            before = changed.outcome["arms"][arm][metric]
            assert interval["mean"] == before["mean"]
            assert before["low"] - 1e-9 <= interval["low"] <= interval["high"] <= before["high"] + 1e-9
    assert said.outcome["promotion"] == "Not promoted: it predicts exactly what the champion predicts."
    model = {"name": "synaug-tiny", "version": "3", "alias": "challenger", "arm": changed.outcome["model"]["arm"]}
    assert said.outcome["model"] == model
    assert registered("tiny")[1] == {"champion": "2", "previous": "1", "challenger": "3"}


def test_going_back_to_the_first_configuration_finds_it_done(
    first: Any, changed: Any, tiny: Callable[..., Any], retrain: Callable[..., Any], registered: Callable[[str], Any]
) -> None:
    before = registered("tiny")
    said = retrain(tiny())
    assert said.outcome["run_id"] == first.outcome["run_id"]
    assert said.outcome["cached_steps"] == said.outcome["steps"]
    assert said.outcome["model"]["version"] == "1"
    assert registered("tiny") == before, "an old configuration run again takes nobody's place"


def test_a_deleted_artifact_is_made_again_and_nothing_else(
    first: Any,
    changed: Any,
    tiny: Callable[..., Any],
    retrain: Callable[..., Any],
    runs_of: Callable[[str], list[Any]],
) -> None:
    lost: Path = first.run.of("synthesis")[0].place / "images" / "synthetic.parquet"
    content = lost.read_bytes()
    lost.unlink()
    said = retrain(tiny())
    assert said.code == 0, said.err
    assert said.outcome["steps"] - said.outcome["cached_steps"] == 1
    assert [line for line in said.err.splitlines() if "synthesis" in line and "done in" in line]
    assert said.outcome["arms"] == first.outcome["arms"]
    assert said.outcome["run_id"] == first.outcome["run_id"]
    assert lost.read_bytes() == content
    run = next(r for r in runs_of("tiny") if r.info.run_id == first.outcome["run_id"])
    assert len(run.all()) == len(first.run.all())
    assert {r.info.status for r in run.all()} == {"FINISHED"}


def test_a_damaged_artifact_is_named(
    first: Any, tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    damaged: Path = first.run.of("dataset")[0].place / "images" / "val.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    try:
        said = retrain(tiny(classifier={"steps": 7}))
    finally:
        damaged.write_bytes(content)
    assert said.code == 1
    [line] = [line for line in said.err.splitlines() if line.startswith("synaug: ")]
    assert f"artifact {damaged.as_uri()} is damaged: its checksum is not the recorded one" in line
    assert "Traceback" not in said.err
    failed = runs_of("tiny")[-1]
    assert failed.info.status == "FAILED"
    assert "is damaged: its checksum is not the recorded one" in failed.tags["synaug.error"]
    assert {r.info.status for r in failed.all()} <= {"FAILED", "FINISHED", "KILLED"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [({"classes": [0, 1]}, "the champion knows other classes"), ({"image_size": 20}, "images of 16 px in grey")],
)
def test_a_champion_that_cannot_be_measured_stays(
    changed: Any, tiny: Callable[..., Any], retrain: Callable[..., Any], data: dict[str, Any], reason: str
) -> None:
    said = retrain(tiny(data=data, arms=["original"], repetitions=1, tuning={"trials": 0}))
    assert said.code == 0, said.err
    assert said.outcome["promotion"].startswith("Not promoted: ")
    assert reason in said.outcome["promotion"]
    assert said.outcome["model"]["alias"] == "challenger"


def test_images_that_the_champion_was_trained_on_are_left_out(
    changed: Any, tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    said = retrain(tiny(seed=5, arms=["original"], repetitions=1, tuning={"trials": 0}))
    assert said.code == 0, said.err
    found = re.search(
        r"Compared on (\d+) of (\d+) test images: the champion was trained on the", said.outcome["promotion"]
    )
    assert found is not None, said.outcome["promotion"]
    left, told = map(int, found.groups())
    assert 0 < left < told == sum(said.outcome["dataset"]["test"].values())
    run = next(r for r in runs_of("tiny") if r.info.run_id == said.outcome["run_id"])
    decision = json.loads((run.of("promotion")[0].place / "decision.json").read_text())
    assert decision["figures"]["images"] == left
