"""A made-up comparison with names that mean harm, and image sets to draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from synaug_core.config import EvaluationConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.evaluate.comparison import Comparison, compare
from synaug_core.evaluate.predictions import Predictions

HOSTILE = ("<script>alert(1)</script>", "$\\frac{1}{0}$", "[red]\x1b[2J\nname", "x" * 300, "日本 & “ü”")


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def comparison_of() -> Callable[..., Comparison]:
    """`comparison_of(classes, arms=...)`: a comparison of that many classes, the last without test images."""

    def make(classes: int, arms: tuple[str, ...] = ("original", "control", "combined"), reps: int = 2) -> Comparison:
        rng = np.random.default_rng(classes)
        names = (HOSTILE + tuple(f"class {i}" for i in range(classes)))[:classes]
        labels = np.arange(6 * (classes - (classes > 2))).astype(np.int64) % max(classes - (classes > 2), 1)
        ids = tuple(map(str, range(len(labels))))

        def one() -> Predictions:
            z = rng.normal(0, 1, (len(labels), classes))
            z[np.arange(len(labels)), labels] += 1.5
            p = np.exp(z)
            return Predictions(ids, labels, p / p.sum(1, keepdims=True), names)

        return compare(
            {arm: [one() for _ in range(reps)] for arm in arms},
            {arm: [float(rng.random())] for arm in arms},
            controls=[a for a in arms if a in ("original", "control")],
            train_counts={name: 3 * i + 2 for i, name in enumerate(names)},
            config=EvaluationConfig(resamples=50),
            seed=0,
        )

    return make


@pytest.fixture(scope="session")
def images_of() -> Callable[..., ImageSet]:
    """`images_of(classes, channels=..., size=...)`: one image of class 0, two of class 1, none of the last."""

    def make(classes: int, channels: int = 3, size: int = 16) -> ImageSet:
        labels = torch.tensor([c for c in range(classes - 1) for _ in range(c + 1)], dtype=torch.int64)
        stream = torch.Generator().manual_seed(classes)
        images = torch.randint(0, 256, (len(labels), channels, size, size), generator=stream, dtype=torch.uint8)
        names = (HOSTILE + tuple(f"class {i}" for i in range(classes)))[:classes]
        each = tuple(map(str, range(len(labels))))
        return ImageSet(images, labels, names, each, each, ("{}",) * len(labels))

    return make
