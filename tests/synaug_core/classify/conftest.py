from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.seeds import stream

MakeSet = Callable[..., ImageSet]


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test here computes in one thread."""


@pytest.fixture
def make_set() -> MakeSet:
    """Sets of noise with a texture for each class: stripes across, stripes down, a coarse pattern."""

    def make(counts: tuple[int, ...] = (12, 8), *, channels: int = 1, size: int = 16, seed: int = 0) -> ImageSet:
        labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
        images = torch.randint(0, 120, (len(labels), channels, size, size), generator=stream(seed), dtype=torch.uint8)
        place = torch.arange(size)
        across = ((place // 2) % 2).view(-1, 1).expand(size, size)
        patterns = (across, across.T, ((place // 4) % 2).view(-1, 1) ^ ((place // 4) % 2))
        for i, label in enumerate(labels.tolist()):
            images[i] += (100 * patterns[label % 3]).to(torch.uint8)
        names = tuple(f"{seed}-{i}" for i in range(len(labels)))
        classes = tuple("abcdefgh"[: len(counts)])
        return ImageSet(images, labels, classes, names, names, ('{"source": "made"}',) * len(labels))

    return make


@pytest.fixture
def quick() -> ClassifierConfig:
    """A training of under a second."""
    return ClassifierConfig(width=4, steps=24, batch_size=8, evaluate_every=6, learning_rate=3e-3)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("SYNAUG_DATA") or Path(__file__).parents[4] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real data sets are not here; name their folder in SYNAUG_DATA")
    return folder
