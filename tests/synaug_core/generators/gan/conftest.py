import pytest

from synaug_core.config import GeneratorConfig


@pytest.fixture
def small():
    """A fit of less than a second."""
    return GeneratorConfig(kind="gan", steps=6, evaluate_every=2, width=8, latent_dim=4, batch_size=8)
