from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig, JudgeConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.quality.judge import Judges
from synaug_core.seeds import stream


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test here computes in one thread."""


def _striped(counts: tuple[int, ...], seed: int = 0, name: str = "real") -> ImageSet:
    """Noise with stripes: across in class a, down in class b, none in c."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    images = torch.randint(0, 120, (len(labels), 1, 16, 16), generator=stream(seed), dtype=torch.uint8)
    across = ((torch.arange(16) // 2) % 2).view(-1, 1).expand(16, 16)
    patterns = (across, across.T, torch.zeros(16, 16, dtype=torch.int64))
    for i, label in enumerate(labels.tolist()):
        images[i] += (130 * patterns[label]).to(torch.uint8)
    ids = tuple(f"{name}/{i}" for i in range(len(labels)))
    return ImageSet(images, labels, ("a", "b", "c"), ids, ids, ('{"source": "made"}',) * len(labels))


@pytest.fixture(scope="session")
def striped() -> Callable[..., ImageSet]:
    return _striped


@pytest.fixture(scope="session")
def train() -> ImageSet:
    return _striped((24, 15, 9))


@pytest.fixture(scope="session")
def quick() -> ClassifierConfig:
    return ClassifierConfig(width=4, steps=60, batch_size=16, learning_rate=5e-3, evaluate_every=20)


@pytest.fixture(scope="session")
def judges(train: ImageSet, quick: ClassifierConfig) -> Judges:
    """Networks of their own, each trained like the run's classifier."""
    return Judges.fit(train, quick, JudgeConfig(training="classifier", steps=40), seed=1)


@pytest.fixture(scope="session")
def linear_judges(train: ImageSet, quick: ClassifierConfig) -> Judges:
    """Heads on one frozen backbone."""
    return Judges.fit(train, quick, JudgeConfig(folds=3), seed=1)


@pytest.fixture(scope="session")
def classifier(train: ImageSet, quick: ClassifierConfig):
    arm = ArmConfig(name="control", sampling="balanced")
    return train_classifier(TrainingJob(quick, arm, train, train.take([]), init_seed=0, batch_seed=0))


@pytest.fixture(scope="session")
def children() -> Callable[..., ImageSet]:
    """Synthetic images with these parents, pixels and labels of the first parent."""

    def make(train: ImageSet, parents: list[list[str]]) -> ImageSet:
        rows = [train.ids.index(p[0]) if p else 0 for p in parents]
        own = train.take(rows)
        ids = tuple(f"synthetic/{i}" for i in range(len(rows)))
        texts = tuple(json.dumps({"generator": "made", "parents": p}) for p in parents)
        return ImageSet(own.images, own.labels, own.classes, ids, ids, texts)

    return make
