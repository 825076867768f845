import pytest

from synaug_core.config import GeneratorConfig


@pytest.fixture
def small():
    """A fit of a second."""
    return GeneratorConfig(steps=12, evaluate_every=4, width=4, latent_dim=4, batch_size=8)
