import json

import pytest
import torch

from synaug_core.config import ArmConfig, Config, SynthesisConfig
from synaug_core.errors import ConfigError, DataError
from synaug_core.generators.pixels import to_float, to_uint8
from synaug_core.preflight import check_config
from synaug_core.report import sheets
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.strategy import Source
from synaug_core.synthesis.transfer import transfer, transfer_random

FIXED = {"alpha": (0.6, 0.6), "filters": None}


def source(train, autoencoder, name="small"):
    return Source(name, train.of_class(name), autoencoder, train=train)


def test_the_image_is_the_parent_and_the_decoded_change(train, autoencoder):
    new = transfer(source(train, autoencoder), 20, SynthesisConfig(**FIXED), seed=3)

    def latent(image):
        name = image.partition("/")[0]
        return autoencoder.encode(train.images[[train.ids.index(image)]], name)[0]

    for image, origin in zip(new.images, new.provenance, strict=True):
        (parent,), (a, b) = origin["parents"], origin["donors"]
        z = latent(parent)
        change = autoencoder.decode(z + 0.6 * (latent(a) - latent(b)), "small") - autoencoder.decode(z, "small")
        expected = to_uint8((to_float(train.images[[train.ids.index(parent)]]) + change).clamp(0, 1))[0]
        assert int((image.int() - expected.int()).abs().max()) <= 1
        assert origin["detail"] == "change"


def test_donors_are_two_images_of_one_frequent_class(train, autoencoder):
    for name, donors in {"small": {"large"}, "other": {"large", "small"}, "large": {"small", "other"}}.items():
        new = transfer(source(train, autoencoder, name), 60, SynthesisConfig(), seed=1)
        pairs = [origin["donors"] for origin in new.provenance]
        assert all(a != b and a.partition("/")[0] == b.partition("/")[0] for a, b in pairs)
        assert {a.partition("/")[0] for a, _ in pairs} == donors
    assert len({a for a, _ in pairs}) == 10  # every image of the two classes


def test_neighbours_change_less(train, autoencoder):
    near, any_two = (
        transfer(source(train, autoencoder), 80, SynthesisConfig(pairing=pairing, neighbours=2), seed=1).measures
        for pairing in ("neighbours", "random")
    )
    assert 0 < near["step_length"] < 0.9 * any_two["step_length"]


def test_the_control_steps_as_far_from_the_same_images(train, autoencoder):
    config = SynthesisConfig(**FIXED)
    changed, control = (way(source(train, autoencoder), 30, config, seed=2) for way in (transfer, transfer_random))
    for one, other in zip(changed.provenance, control.provenance, strict=True):
        assert one["parents"] == other["parents"]
        assert one["step_length"] == pytest.approx(other["step_length"])
        assert "donors" not in other
    assert not torch.equal(changed.images, control.images)
    assert ArmConfig(name="c", synthesis=SynthesisConfig(strategy="transfer-random")).is_control
    assert not ArmConfig(name="t", synthesis=SynthesisConfig(strategy="transfer")).is_control


def test_no_step_gives_the_parent_or_what_is_decoded_of_it(train, autoencoder):
    own = train.of_class("small")
    for detail, images in {
        "auto": own.images,
        "none": to_uint8(autoencoder.decode(autoencoder.encode(own.images, "small")[0], "small")),
    }.items():
        config = SynthesisConfig(alpha_mode="grid", alpha=(0.0,), detail=detail)
        new = transfer(source(train, autoencoder), 7, config, seed=1)
        rows = [own.ids.index(origin["parents"][0]) for origin in new.provenance]
        assert torch.equal(new.images, images[rows])


def test_where_it_cannot_be(train, autoencoder, generator):
    with pytest.raises(ConfigError, match="one latent space for all classes"):
        transfer(source(train, generator), 3, SynthesisConfig(), seed=1)
    alone = Source("small", train.of_class("small"), autoencoder)
    with pytest.raises(DataError, match="no class but 'small' has two training images"):
        transfer(alone, 3, SynthesisConfig(), seed=1)
    arm = ArmConfig(name="t", synthesis=SynthesisConfig(strategy="transfer"))
    with pytest.raises(ConfigError, match=r"arm t: synthesis.generator to one of kind autoencoder"):
        check_config(Config(arms=(arm,)))
    check_config(Config(arms=(arm.model_copy(update={"synthesis": SynthesisConfig(generator="autoencoder")}),)))


def test_groups_and_the_sheet_name_the_donors(train, autoencoder):
    config = SynthesisConfig(strategy="transfer", filters=None)
    new = synthesise(autoencoder, train, {"small": 6, "other": 6}, config, seed=1).images
    for group, text in zip(new.groups, new.provenance, strict=True):
        origin = json.loads(text)
        assert set(group.split("+")) == {*origin["parents"], *origin["donors"]}
    assert sheets.changes(train, new).size[0] > 6 * 60
    plain = synthesise(None, train, {"small": 6}, SynthesisConfig(strategy="duplicate"), seed=1).images
    assert sheets.changes(train, plain) is None
