"""Which arm is registered, and what is odd about a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from synaug_core.evaluate.choice import Choice, _standard_error, choose_arm, remarks
from synaug_core.evaluate.predictions import Predictions

NAMES = ("class a", "class b")


def answers(right: np.ndarray, labels: np.ndarray, prefix: str = "image") -> Predictions:
    """Predictions of two classes that are right where `right` says so."""
    p = np.full((len(labels), 2), 0.1)
    p[np.arange(len(labels)), np.where(right, labels, 1 - labels)] = 0.9
    return Predictions(tuple(f"{prefix}{i}" for i in range(len(labels))), labels.astype(np.int64), p, NAMES)


def trainings(rng: np.random.Generator, share: float, repetitions: int = 6, n: int = 40) -> list[Predictions]:
    labels = np.repeat([0, 1], n // 2)
    return [answers(rng.random(n) < share, labels) for _ in range(repetitions)]


def test_the_simplest_arm_within_one_standard_error(rng_of: Callable[[int], np.random.Generator]):
    """An arm a hair below the best is as good; one far below is not, however simple."""
    labels = np.repeat([0, 1], 50)
    right = np.ones(100, bool)
    plain, simple, best = right.copy(), right.copy(), right.copy()
    plain[:40] = False
    simple[[0, 1, 60]] = False
    best[[2, 70]] = False
    arms = {name: [answers(r, labels)] * 3 for name, r in (("plain", plain), ("simple", simple), ("best", best))}
    choice = choose_arm(arms, ["plain", "simple", "best"])
    assert choice.arm == "simple"
    assert choice.reason == (
        "it is the simplest arm within one standard error of the best on the validation images, best (97.0 % against "
        "98.0 %, standard error of the difference 2.3 points)"
    )
    assert choose_arm(arms, ["best", "simple", "plain"]) == Choice(
        arm="best", reason="it has the highest balanced accuracy on the validation images"
    )
    assert choose_arm(arms, ["plain", "best"]).arm == "best"


def test_of_equals_the_simplest(rng_of: Callable[[int], np.random.Generator]):
    same = trainings(rng_of(0), 0.7)
    choice = choose_arm({"b": same, "a": same}, ["a", "b"])
    assert (choice.arm, "highest" in choice.reason) == ("a", True)


def test_a_shown_gain_is_what_counts(rng_of: Callable[[int], np.random.Generator]):
    arms = {"control": trainings(rng_of(0), 0.9), "synthetic": trainings(rng_of(1), 0.6)}
    assert choose_arm(arms, ["control", "synthetic"], gain="synthetic").arm == "synthetic"
    with pytest.raises(ValueError, match="no arm to choose from"):
        choose_arm(arms, [])


@pytest.mark.parametrize("shared", [True, False])
def test_the_standard_error_is_the_spread_over_new_trainings_and_new_images(
    shared: bool, rng_of: Callable[[int], np.random.Generator]
):
    """Against a simulation: images with a difficulty of their own, trainings with a skill of theirs."""
    repetitions, n = 6, 60
    labels = np.repeat([0, 1], n // 2)

    def run(seed: int) -> tuple[list[Predictions], list[Predictions]]:
        rng = rng_of(seed)
        pairs = []
        hard = rng.normal(0, 1.0, (2, n))
        for r in range(repetitions):
            hard = hard if shared else rng.normal(0, 1.0, (2, n))
            skill = rng.normal(0.6, 0.3, 2)
            noise = rng.normal(0, 1, (2, n))
            part = "image" if shared else f"draw{r}-"
            pairs.append([answers(skill[a] + hard[a] + noise[a] > 0, labels, part) for a in (0, 1)])
        return [a for a, _ in pairs], [b for _, b in pairs]

    def mean(side: list[Predictions]) -> float:
        return float(np.mean([(p.predicted == p.labels).mean() for p in side]))

    runs = [run(seed) for seed in range(300)]
    spread = np.std([mean(a) - mean(b) for a, b in runs])
    estimate = np.sqrt(np.mean([_standard_error(a, b) ** 2 for a, b in runs]))
    assert spread * 0.9 < estimate < spread * 1.25  # what images and trainings do together counts twice


def test_one_class_only_is_told_with_the_number_of_trainings(exact: Callable[..., Predictions]):
    labels = [0, 0, 1, 1, 2]
    collapsed, varied = exact(labels, [1] * 5, 3), exact(labels, [0, 1, 1, 2, 2], 3)
    said = remarks({"a": [collapsed, varied], "b": [varied, varied], "c": [collapsed]}, {"a": [], "b": [], "c": []})
    assert said == (
        "a predicts one class only, class b, in 1 of 2 trainings for every test image",
        "c predicts one class only, class b, for every test image",
    )
    assert remarks({"a": [exact([1, 1], [1, 1], 3)]}, {"a": []}) == ()


def test_easier_validation_images_are_told_where_chance_does_not_explain_them(
    rng_of: Callable[[int], np.random.Generator],
):
    rng = rng_of(3)
    easy = {"a": trainings(rng, 0.96, n=500), "b": trainings(rng, 0.96, n=500)}
    hard = {"a": trainings(rng, 0.81, n=600), "b": trainings(rng, 0.81, n=600)}
    [line] = remarks(hard, easy)
    assert line.startswith("the validation images are easier than the test images: balanced accuracy 9")
    assert "beyond chance at 99 %" in line
    assert remarks(easy, hard) == remarks(hard, easy, shared_test_part=False) == remarks(easy, easy) == ()


def test_equal_parts_are_rarely_told_apart(rng_of: Callable[[int], np.random.Generator]):
    """Also where a class has three validation images."""

    def part(rng: np.random.Generator, counts: tuple[int, int]) -> dict[str, list[Predictions]]:
        labels = np.repeat([0, 1], counts)
        likely = rng.beta(3, 1, len(labels))
        return {"a": [answers(rng.random(len(labels)) < likely, labels) for _ in range(4)]}

    for counts in ((3, 20), (40, 40)):
        told = sum(bool(remarks(part(rng, (60, 60)), part(rng, counts))) for rng in map(rng_of, range(200)))
        assert told <= 5


@pytest.fixture
def rng_of() -> Callable[[int], np.random.Generator]:
    return np.random.default_rng
