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


def test_images_from_inside_the_training_that_are_enlarged_as_they_are_get_a_line():
    online = {
        "lifted": {},
        "rebuilt": {"strategy": "reconstruct"},
        "plain": {"detail": "none"},
        "change": {"detail": "change"},
    }
    arms = [{"name": name, "online": {"generator": "small", **choices}} for name, choices in online.items()]
    config = Config.model_validate({"arms": arms, "generators": {"small": {"kind": "autoencoder", "image_size": 32}}})
    line = "decoded at 32 px and enlarged to 96 px: they are less sharp than real images"
    assert config.notes_on_enlarged(96) == (f"rebuilt, online: {line}", f"plain, online: {line}")
    assert config.notes_on_enlarged(32) == ()
