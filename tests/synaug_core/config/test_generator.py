import pytest

from synaug_core.config import Config, GeneratorConfig


@pytest.mark.parametrize(("mirror", "augment"), [("none", "none"), ("horizontal", "mirror"), ("both", "both")])
def test_generators_mirror_as_the_classifier_does(mirror, augment):
    config = Config.model_validate(
        {
            "classifier": {"augmentation": {"mirror": mirror}},
            "generators": {"own": {"kind": "vae"}, "fixed": {"kind": "vae", "augment": "none"}},
        }
    )
    assert config.generator_named("default").augment == augment
    assert config.generator_named("own").augment == augment
    assert config.generator_named("autoencoder").augment == augment
    assert config.generator_named("fixed").augment == "none"
    assert GeneratorConfig().augment == "auto"
