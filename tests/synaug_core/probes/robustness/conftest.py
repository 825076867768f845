"""A small network trained on scikit-learn's digits, and copies of its images to disturb."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> dict[str, ImageSet]:
    """Handwritten digits, 16 px grey: 1000 to train with, 300 to validate, 400 to test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = torch.tensor(found.images * (255 / 16)).round().to(torch.uint8)
    pixels = pixels.repeat_interleave(2, 1).repeat_interleave(2, 2).unsqueeze(1)
    names = tuple(f"digit-{i}" for i in range(len(pixels)))
    classes = tuple(map(str, range(10)))
    source = ('{"source": "digits"}',) * len(names)
    whole = ImageSet(pixels, torch.tensor(found.target, dtype=torch.int64), classes, names, names, source)
    return {
        "train": whole.take(torch.arange(0, 1000)),
        "val": whole.take(torch.arange(1000, 1300)),
        "test": whole.take(torch.arange(1300, 1700)),
    }


@pytest.fixture(scope="session")
def trained(digits: dict[str, ImageSet]) -> TrainedClassifier:
    """Over nine in ten test digits right."""
    return train(
        TrainingJob(
            ClassifierConfig(width=16, steps=400, batch_size=32, evaluate_every=100, learning_rate=2e-2),
            ArmConfig(name="original"),
            digits["train"],
            digits["val"],
            init_seed=1,
            batch_seed=2,
            device=torch.device("cpu"),
        )
    )
