"""Made-up predictions whose quality is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from synaug_core.evaluate.predictions import Predictions

Maker = Callable[..., Predictions]


@pytest.fixture
def made() -> Maker:
    """`made(counts, skill, seed, spread=...)`: probabilities whose true class is favoured by `skill`."""

    def make(counts: Sequence[int], skill: float = 1.0, seed: int = 0, spread: float = 0.7) -> Predictions:
        n, classes = sum(counts), len(counts)
        labels = np.repeat(np.arange(classes), counts).astype(np.int64)
        # part of an image's difficulty is its own, equal in every repetition
        z = np.random.default_rng(99).normal(0, 1, (n, classes))
        z += np.random.default_rng(seed).normal(0, spread, (n, classes))
        z[np.arange(n), labels] += skill
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        names = tuple(f"class {chr(97 + c)}" for c in range(classes))
        return Predictions(tuple(f"image{i}" for i in range(n)), labels, p, names)

    return make


@pytest.fixture
def exact() -> Maker:
    """`exact(labels, predicted, classes)`: predictions with given outcomes, 0.9 sure."""

    def make(labels: Sequence[int], predicted: Sequence[int], classes: int) -> Predictions:
        p = np.full((len(labels), classes), 0.1 / (classes - 1))
        p[np.arange(len(labels)), list(predicted)] = 0.9
        names = tuple(f"class {chr(97 + c)}" for c in range(classes))
        ids = tuple(f"image{i}" for i in range(len(labels)))
        return Predictions(ids, np.array(labels, np.int64), p, names)

    return make


def _outcomes(labels: np.ndarray, right: np.ndarray, names: Sequence[str], ids: Sequence[str]) -> Predictions:
    """Predictions that are right where asked, else take the image for the next class; 0.8 sure."""
    classes = len(names)
    p = np.full((len(labels), classes), 0.2 / (classes - 1))
    p[np.arange(len(labels)), np.where(right, labels, (labels + 1) % classes)] = 0.8
    return Predictions(tuple(ids), labels.astype(np.int64), p, tuple(names))


@pytest.fixture
def crossed() -> Callable[..., dict[str, list[Predictions]]]:
    """`crossed(rng, arms, n, gain=..., ...)`: repetitions of arms on the same images, by an additive model.

    An image is right where its difficulty (common to all), how it suits the arm (`suits`), the luck of the training
    (`luck`, one draw per class) and noise add up above 0; arm 0 has `gain` more. Balanced accuracy over all images
    and trainings is Phi((0.8 + gain) / sqrt(1.49 + suits^2 + luck^2)).
    """

    def make(
        rng: np.random.Generator,
        arms: Sequence[str],
        n: int,
        *,
        counts: Sequence[int] = (20, 40, 50),
        gain: float = 0.0,
        suits: float = 0.5,
        luck: float = 0.3,
    ) -> dict[str, list[Predictions]]:
        labels = np.repeat(np.arange(len(counts)), counts)
        images, ids = len(labels), [str(i) for i in range(sum(counts))]
        names = [f"class {chr(97 + c)}" for c in range(len(counts))]
        difficulty = rng.normal(0.8, 1, images)
        found: dict[str, list[Predictions]] = {}
        for i, arm in enumerate(arms):
            mean = difficulty + rng.normal(0, suits, images) + gain * (i == 0)
            found[arm] = [
                _outcomes(
                    labels,
                    mean + rng.normal(0, luck, len(counts))[labels] + rng.normal(0, 0.7, images) > 0,
                    names,
                    ids,
                )
                for _ in range(n)
            ]
        return found

    return make


@pytest.fixture
def cross_validated() -> Callable[..., tuple[dict[str, list[Predictions]], dict[str, list[float]]]]:
    """`cross_validated(rng, arms, folds=5, repetitions=2, images=60)`: real trainings that share images, as k-fold
    cross-validation has them: nearest-mean classifiers on Gaussian features.

    All arms see two common features and four of their own; the features are equally good, so that no arm is better
    over all data sets. Returns test predictions at index repetition * folds + fold, and validation accuracies.
    """

    def make(
        rng: np.random.Generator,
        arms: Sequence[str],
        *,
        folds: int = 5,
        repetitions: int = 2,
        images: int = 60,
        gain: float = 0.0,
    ) -> tuple[dict[str, list[Predictions]], dict[str, list[float]]]:
        common, own = 2, 4
        y = np.arange(images) % 2
        side = np.where(y, 0.25, -0.25)[:, None]
        x = rng.normal(size=(images, common + len(arms) * own)) + side
        x[:, common : common + own] += gain * side  # the first arm's features
        ids = [str(i) for i in range(images)]
        test: dict[str, list[Predictions]] = {arm: [] for arm in arms}
        validation: dict[str, list[float]] = {arm: [] for arm in arms}
        for _ in range(repetitions):
            order = np.concatenate([rng.permutation(np.flatnonzero(y == c)) for c in (0, 1)])
            fold = np.empty(images, int)
            fold[order] = np.arange(images) % folds
            for f in range(folds):
                seen = rng.permutation(np.flatnonzero(fold != f))
                val, train = np.split(seen, [len(seen) // 5])
                here = np.flatnonzero(fold == f)
                high, low = (x[train][y[train] == c].mean(0) for c in (1, 0))
                score = (x - (high + low) / 2) * (high - low)
                for i, arm in enumerate(arms):
                    mine = [*range(common), *range(common + i * own, common + (i + 1) * own)]
                    right = (score[:, mine].sum(1) > 0) == y
                    test[arm].append(_outcomes(y[here], right[here], ("a", "b"), [ids[j] for j in here]))
                    validation[arm].append(float(right[val].mean()))
        return test, validation

    return make
