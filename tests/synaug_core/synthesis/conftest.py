import pytest
import torch

from synaug_core.config import GeneratorConfig
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.testing.conformance import make_images


@pytest.fixture(scope="session")
def train():
    return make_images({"large": 20, "small": 7, "single": 1, "other": 3}, 1, 16)


@pytest.fixture(scope="session")
def generator(train):
    config = GeneratorConfig(steps=40, evaluate_every=20, width=8, latent_dim=6, learning_rate=3e-3)
    fitted = ClassVAE(config, ("large", "single", "small"), 1, 16)
    return fitted.fit(train, FitJob(seed=5, device=torch.device("cpu")))


@pytest.fixture(scope="session")
def autoencoder(train):
    """One latent space for all classes."""
    config = GeneratorConfig(kind="autoencoder", steps=8, evaluate_every=4, width=8)
    return SpatialAutoencoder(config, train.classes, 1, 16).fit(train, FitJob(seed=5, device=torch.device("cpu")))
