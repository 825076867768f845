"""A whole retraining with `classifier.training: frozen`: few images, small ones, every stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LINE = "picked: not tried: deferred, mixup, cutmix, ensemble; classifier.training: frozen has no training loop"


@pytest.fixture(scope="module")
def frozen(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> tuple[Any, Any, Any]:
    config = tiny(
        "frozen",
        data={"classes": [0, 1], "long_tail": None, "per_class": {"1": 6, "default": 9}, "duplicates": None},
        arms=["original", "combined", "picked"],
        repetitions=1,
        classifier={"training": "frozen", "input_size": 32, "views": 1, "steps": None, "evaluate_every": None},
        tuning={"arms": ["combined"]},
        robustness={"images": 6},
    )
    said = retrain(config)
    assert said.code == 0, said.err
    [run] = runs_of("frozen")
    return config, said, run


def test_every_stage_is_done_and_the_model_serves(frozen: Any, synaug: Any, tmp_path: Any) -> None:
    _, said, run = frozen
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert list(said.outcome["arms"]) == ["original", "combined", "picked"]
    assert said.outcome["model"]["alias"] == "champion"
    for arm in said.outcome["arms"].values():
        assert arm["test/balanced_accuracy"]["mean"] > 0.8
    exported = synaug("export", run.info.run_id, tmp_path / "exported")
    assert exported.code == 0, exported.err


def test_it_says_what_was_not_tried_and_that_there_are_no_steps(frozen: Any) -> None:
    _, said, run = frozen
    assert LINE in said.outcome["notes"]
    assert not [note for note in said.outcome["notes"] if "still learning" in note]
    assert sorted(r.params["candidate"] for r in run.of("candidate")) == ["balanced_softmax", "strong"]
    [page] = run.place.parents[1].glob("*/artifacts/comparison.html")
    assert "There are no optimiser steps to compare" in page.read_text()
    assert "linear head on the features of tf_efficientnet_lite0" in page.read_text()


def test_only_what_it_uses_is_searched(frozen: Any) -> None:
    _, _, run = frozen
    searched = {name for trial in run.of("trial") for name in trial.params}
    assert "synthetic_share" in searched
    assert not {"learning_rate", "weight_decay", "dropout", "augmentation_strength", "rotation"} & searched
    assert len(run.of("trial")) == 2, "and no trial twice"


def test_a_repetition_records_its_head(frozen: Any) -> None:
    _, _, run = frozen
    for repetition in run.of("repetition"):
        assert 0 < repetition.metrics["head_strength"] <= 1
        assert repetition.params["training"] == "frozen"


def test_again_nothing_is_trained(frozen: Any, retrain: Callable[..., Any]) -> None:
    config, said, _ = frozen
    again = retrain(config)
    assert again.code == 0, again.err
    assert again.outcome["cached_steps"] == again.outcome["steps"]
    assert again.outcome["arms"] == said.outcome["arms"]


def test_an_arm_that_needs_a_loop_is_refused_at_once(retrain: Callable[..., Any], frozen: Any) -> None:
    config = frozen[0] | {"arms": ["mixup"]}
    refused = retrain(config)
    assert refused.code == 2
    assert "arm mixup: mixing: mixup needs a training loop, and classifier.training: frozen has none" in refused.err
