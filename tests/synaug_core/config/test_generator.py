import pytest

from synaug_core.config import Config, GeneratorConfig


@pytest.mark.parametrize(
    ("mirror", "rotation", "augment"),
    [
        ("none", 180, "none"),
        ("horizontal", 180, "mirror"),
        ("both", 30, "both"),
        ("both", 90, "all"),
        ("both", 180, "all"),
    ],
)
def test_generators_mirror_and_turn_as_the_classifier_does(mirror, rotation, augment):
    config = Config.model_validate(
        {
            "classifier": {"augmentation": {"mirror": mirror, "rotation": rotation}},
            "generators": {"own": {"kind": "vae"}, "fixed": {"kind": "vae", "augment": "none"}},
        }
    )
    assert config.generator_named("default").augment == augment
    assert config.generator_named("own").augment == augment
    assert config.generator_named("autoencoder").augment == augment
    assert config.generator_named("fixed").augment == "none"
    assert GeneratorConfig().augment == "auto"
