import pytest

from synaug_core.config import DiffusionConfig, GeneratorConfig


@pytest.fixture
def small():
    """A fit of half a second."""
    options = DiffusionConfig(sampling_steps=3)
    return GeneratorConfig(kind="diffusion", steps=4, evaluate_every=2, width=8, batch_size=8, diffusion=options)
