import pytest

from synaug_core.config import Config
from synaug_core.generators import registry
from synaug_core.report.course import describe_synthesis


@pytest.mark.parametrize("kind", ["vae", "gan", "diffusion", "autoencoder"])
def test_how_many_models_a_generator_has_is_the_generators_own_word(kind):
    told = dict(describe_synthesis(Config.model_validate({"generator": {"kind": kind}})))["Generators"]
    models = "one model for all classes" if registry.find(kind).joint else "one model for each class"
    assert f"{kind} ({models}, " in told


def test_only_the_vae_has_a_model_for_each_class():
    told = dict(describe_synthesis(Config()))["Generators"]
    assert "vae (one model for each class, " in told
