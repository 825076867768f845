"""An arm that becomes the best of its candidates, and the further controls, in real retrainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

OFF = {"robustness": {"enabled": False}, "explanation": {"enabled": False}, "promotion": {"enabled": False}}


@pytest.fixture(scope="module")
def picked(tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]) -> Any:
    """A configuration, what running it came to, and its runs."""
    config = tiny(
        "picked",
        arms=["original", {"name": "picked", "candidates": ["deferred", "strong", "ensemble"]}],
        repetitions=2,
        tuning={"trials": 1, "arms": ["picked"]},
        **OFF,
    )
    said = retrain(config)
    assert said.code == 0, said.err
    [run] = runs_of("picked")
    return config, said, run


def test_the_arm_trains_as_the_candidate_that_was_best_on_validation(picked: Any) -> None:
    _, said, run = picked
    scores = {r.params["candidate"]: r.metrics["val/balanced_accuracy"] for r in run.of("candidate")}
    assert list(scores) == ["deferred", "strong", "ensemble"] or set(scores) == {"deferred", "strong", "ensemble"}
    [picking] = run.of("picking")
    best = max(("deferred", "strong", "ensemble"), key=scores.__getitem__)
    assert picking.params["candidate"] == best
    assert {k.removeprefix("val/balanced_accuracy/"): v for k, v in picking.metrics.items()} == scores
    settings = {
        "deferred": ("deferred", "traditional", "1"),
        "strong": ("balanced", "strong", "1"),
        "ensemble": ("balanced", "traditional", "3"),
    }
    trained = [r for r in run.of("repetition") if r.tags["synaug.arm"] == "picked"]
    assert [r.params["sampling"] for r in trained] == [settings[best][0]] * 2
    assert [r.params["augmentation"] for r in trained] == [settings[best][1]] * 2
    assert [r.params["members"] for r in trained] == [settings[best][2]] * 2
    assert f"picked: {best}, chosen among 3 on the validation images" in said.outcome["notes"]


def test_every_candidate_has_the_steps_of_a_trial_twice(picked: Any) -> None:
    _, _, run = picked
    assert {r.params["steps"] for r in run.of("candidate")} == {"30"}
    for candidate in run.of("candidate"):
        both = [candidate.metrics[f"val/balanced_accuracy/{n}"] for n in (0, 1)]
        assert candidate.metrics["val/balanced_accuracy"] == pytest.approx(sum(both) / 2)


def test_again_nothing_is_tried(picked: Any, retrain: Callable[..., Any]) -> None:
    config, said, _ = picked
    again = retrain(config | {"repetitions": 3})
    assert again.code == 0, again.err
    assert again.outcome["cached_steps"] >= said.outcome["steps"] - 3
    assert [n for n in again.outcome["notes"] if n.startswith("picked: ")] == [
        n for n in said.outcome["notes"] if n.startswith("picked: ")
    ]


def test_every_further_control_is_an_arm_by_name_and_its_model_serves(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    """With maps and attacks, an ensemble's included."""
    arms = ["ensemble", "cutmix", "balanced_softmax"]
    probes = {
        "robustness": {"perturbations": [], "attacks": ["fgsm"], "eps": [4], "images": 10, "repetitions": 1},
        "explanation": {"images": 2},
    }
    said = retrain(tiny("further", arms=arms, repetitions=1, tuning={"trials": 0}, **probes))
    assert said.code == 0, said.err
    [run] = runs_of("further")
    assert {r.info.status for r in run.all()} == {"FINISHED"}
    assert list(said.outcome["arms"]) == arms
    assert said.outcome["model"]["alias"] == "champion"
    for training in run.of("repetition"):
        assert training.details["prior/0"] == pytest.approx(1 / 3, abs=1e-6)
        assert training.metrics["prior_correction"] == 1.0


def test_natural_draws_are_corrected_and_the_prior_is_recorded(picked: Any) -> None:
    _, said, run = picked
    train = said.outcome["dataset"]["train"]
    original = next(r for r in run.of("repetition") if r.tags["synaug.arm"] == "original")
    shares = {c: original.details[f"prior/{c}"] for c in train}
    assert shares == pytest.approx({c: n / sum(train.values()) for c, n in train.items()})
