import pytest
import torch

from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import STANDARD_ARMS, ClassifierConfig, DataConfig, GeneratorConfig
from synaug_core.data.prepare import prepare
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.generators.base import FitJob


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits():
    """Three digits, 16 px."""
    return prepare(DataConfig(source="digits", classes=("1", "4", "7"), image_size=16), seed=0)


@pytest.fixture(scope="session")
def autoencoder(digits):
    config = GeneratorConfig(kind="autoencoder", steps=120, evaluate_every=40, width=8)
    made = SpatialAutoencoder(config, digits.train.classes, 1, 16)
    return made.fit(digits.train, FitJob(seed=1, device=torch.device("cpu")))


@pytest.fixture(scope="session")
def classifiers(digits):
    """Two of different seeds, with dropout."""
    config = ClassifierConfig(width=6, steps=80, batch_size=32, evaluate_every=40, dropout=0.3)
    return tuple(
        train_classifier(
            TrainingJob(config, STANDARD_ARMS["original"], digits.train, digits.val, init_seed=s, batch_seed=s)
        )
        for s in (1, 2)
    )
