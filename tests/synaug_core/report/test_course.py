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


@pytest.mark.parametrize("size", [28, 64, None])
def test_where_images_are_learnt_as_they_are_stored_nothing_is_said_of_their_size(size):
    told = dict(describe_synthesis(Config(), size))
    assert "000 steps)" in told["Generators"]
    assert "detail" not in str(told)
    assert "enlarged" not in str(told)


def test_lifted_and_enlarged_images_are_told_apart():
    arms = [
        {"name": "lifted", "synthesis": {}},
        {"name": "plain", "synthesis": {"detail": "none"}},
        {"name": "prior", "synthesis": {"strategy": "prior", "detail": "residual"}},
        {"name": "mixup", "synthesis": {"strategy": "mixup"}},
        {"name": "moved", "online": {"generator": "autoencoder"}},
        {"name": "rebuilt", "online": {"generator": "autoencoder", "strategy": "reconstruct"}},
    ]
    told = dict(describe_synthesis(Config.model_validate({"arms": arms}), 224))
    assert told["Generators"].count("from images shrunk to 64 × 64 pixels") == 2
    lifted, plain = "detail: residual, so lifted to the images' full size", "enlarged to the images' full size"
    for name, words in {"lifted": lifted, "plain": plain, "prior": plain, "moved": lifted, "rebuilt": plain}.items():
        assert words in told[f"Images for {name}"]
    assert "full size" not in told["Images for mixup"]
