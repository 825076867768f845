"""An arm's trainings together, and the words."""

from __future__ import annotations

import pytest

from synaug_core.probes.robustness.curves import (
    ArmRobustness,
    Curve,
    Point,
    Robustness,
    mean_curves,
    sentences,
    summary_name,
)


def _point(strength: float, share: float) -> Point:
    return Point(strength=strength, accuracy=share, balanced_accuracy=share / 2)


def _one(shift: float = 0.0, images: int = 10, eps: float = 2.0) -> Robustness:
    clean = _point(0, 0.8 + shift)
    noise = Curve(name="noise", kind="perturbation", points=(clean, _point(1, 0.6 + shift), _point(2, 0.4 + shift)))
    pgd = Curve(name="pgd", kind="attack", points=(clean, _point(0.5, 0.4), _point(eps, 0.2)))
    return Robustness(clean=clean, curves=(noise, pgd), images=images, classes={"a": images})


def test_means_and_bands():
    arm = mean_curves([_one(0.1), _one(-0.1)])
    first = arm.curves[0].points[1]
    assert (first.accuracy.mean, first.accuracy.low, first.accuracy.high) == pytest.approx((0.6, 0.5, 0.7))
    assert first.balanced_accuracy.mean == pytest.approx(0.3)
    assert arm.trainings == 2
    assert arm.summary["perturbed"].mean == pytest.approx(0.25)
    assert (arm.summary["perturbed"].low, arm.summary["perturbed"].high) == pytest.approx((0.2, 0.3))
    assert arm.summary["pgd"].mean == arm.summary["pgd"].low == pytest.approx(0.15)
    assert arm.metrics() == pytest.approx({"robust/clean": 0.4, "robust/perturbed": 0.25, "robust/pgd": 0.15})


def test_one_training_is_its_own_mean():
    arm = mean_curves([_one()])
    assert [p.accuracy.mean for p in arm.curves[1].points] == [p.accuracy for p in _one().curves[1].points]


def test_as_json_and_back():
    arm = mean_curves([_one(), _one(0.05)])
    assert ArmRobustness.model_validate_json(arm.model_dump_json()) == arm


@pytest.mark.parametrize("other", [_one(images=11), _one(eps=4.0)])
def test_trainings_asked_otherwise_do_not_mix(other):
    with pytest.raises(ValueError, match="different"):
        mean_curves([_one(), other])


def test_no_trainings():
    with pytest.raises(ValueError, match="none"):
        mean_curves([])


def test_words():
    arms = {"control": mean_curves([_one(), _one()]), "combined": mean_curves([_one(0.1), _one(0.12)])}
    said = sentences(arms, "control")
    assert said[0] == "Mean balanced accuracy on disturbed images is highest with combined: 30.5 %, control has 25.0 %."
    assert said[1].startswith("Mean balanced accuracy under attack (PGD), pixels changed by at most 0.5 to 2 of 255")
    assert "2 trainings of each arm on 10 test images" in said[-1]
    assert "no test was made" in said[-1]
    assert len(said) == 3


def test_words_with_one_arm_and_with_none():
    assert "1 training of each arm" in sentences({"original": mean_curves([_one()])})[-1]
    assert sentences({}) == []


def test_what_the_figures_are_called():
    assert summary_name("pgd") == "mean balanced accuracy under attack (PGD)"
    assert summary_name("perturbed") == "mean balanced accuracy on disturbed images"
