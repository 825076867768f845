"""Small classifiers with and without a known place to look at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from synaug_core.classify.model import Classifier, build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.evaluate.predictions import Predictions
from synaug_core.seeds import seeded_init, stream

CLASSES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test here computes in one thread."""


def wrapped(model: Classifier, config: ClassifierConfig, channels: int, size: int) -> TrainedClassifier:
    history = History.model_construct()
    return TrainedClassifier(model.eval(), config, CLASSES, channels, size, history)


@pytest.fixture(scope="session")
def classifier_of() -> Callable[..., TrainedClassifier]:
    """`classifier_of(backbone, channels=, size=, seed=)`: untrained, which a map does not mind."""

    def make(backbone: str = "small_cnn", *, channels: int = 3, size: int = 28, seed: int = 1) -> TrainedClassifier:
        config = ClassifierConfig(backbone=backbone, width=8)
        parts = (0.5,) * channels
        model = build(config, channels=channels, size=size, classes=CLASSES, seed=seed, mean=parts, std=parts)
        return wrapped(model, config, channels, size)

    return make


class Quadrant(nn.Module):
    """Looks at one quadrant only, of bright images: its features are the means of a convolution's maps there."""

    def __init__(self, down: int, right: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.corner = (slice(8 * down, 8 * down + 8), slice(8 * right, 8 * right + 8))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolution(x)
        return maps[:, :, self.corner[0], self.corner[1]].mean(dim=(2, 3))


@pytest.fixture(scope="session")
def looks_at() -> Callable[..., TrainedClassifier]:
    """`looks_at(down, right)`: a 16 px classifier whose class 0 rises with the brightness of that quadrant."""

    def make(down: int, right: int) -> TrainedClassifier:
        with seeded_init(0):
            model = Classifier(Quadrant(down, right), 4, 3, mean=(0.0,), std=(1.0,), dropout=0.0)
        with torch.no_grad():
            model.backbone.convolution.weight.abs_()
            model.linear.weight.abs_()
        return wrapped(model, ClassifierConfig(), 1, 16)

    return make


@pytest.fixture(scope="session")
def noise_images() -> Callable[..., Tensor]:
    """`noise_images(n, channels=, size=)`: uint8 noise."""

    def make(n: int, *, channels: int = 3, size: int = 28, seed: int = 0) -> Tensor:
        return torch.randint(0, 256, (n, channels, size, size), generator=stream(seed), dtype=torch.uint8)

    return make


@pytest.fixture(scope="session")
def says() -> Callable[..., Predictions]:
    """`says(labels, p_true)`: predictions of two classes that give the true one these probabilities."""

    def make(labels: list[int], p_true: list[float], classes: int = 2) -> Predictions:
        p = np.full((len(labels), classes), 0.0)
        for i, (label, value) in enumerate(zip(labels, p_true, strict=True)):
            p[i] = (1 - value) / (classes - 1)
            p[i, label] = value
        ids = tuple(f"i{k}" for k in range(len(labels)))
        return Predictions(ids, np.array(labels, np.int64), p, tuple("abcdef"[:classes]))

    return make
