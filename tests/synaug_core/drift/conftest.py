from __future__ import annotations

import pytest

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig, DataConfig
from synaug_core.data.prepare import Prepared, prepare


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test here computes in one thread."""


@pytest.fixture(scope="session")
def digits() -> Prepared:
    return prepare(DataConfig(source="digits", image_size=16), seed=3)


@pytest.fixture(scope="session")
def classifier(digits: Prepared) -> TrainedClassifier:
    config = ClassifierConfig(width=8, steps=150, batch_size=32, learning_rate=5e-3, evaluate_every=50)
    return train_classifier(
        TrainingJob(
            config, ArmConfig(name="control", sampling="balanced"), digits.train, digits.val, init_seed=0, batch_seed=0
        )
    )
