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
