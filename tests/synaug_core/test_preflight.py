from __future__ import annotations

from typing import Any

import pytest

from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.errors import ConfigError
from synaug_core.preflight import check_config, check_sweep

KINDS = "autoencoder, diffusion, gan, vae"


def arm(**sections: Any) -> dict[str, Any]:
    return {"arms": [{"name": "mine", **sections}]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"generator": {"kind": "vaee"}}, f"generator.kind: unknown kind 'vaee'; known are {KINDS}"),
        (
            {"synthesis": {"strategy": "interpolat"}},
            "synthesis.strategy: unknown strategy 'interpolat'; known are cutmix, duplicate, interpolate, mixup, "
            "oracle, paste, prior, random, reconstruct, targeted, transfer, transfer-random",
        ),
        (
            {"generator": {"kind": "gan"}},
            "synthesis.strategy: interpolate needs a generator with a latent space, and `generator.kind: gan` has "
            "none; use prior, or a generator of kind autoencoder or vae",
        ),
        (
            {"classifier": {"backbone": "small_cnn", "pretrained": "hub"}},
            "classifier.pretrained: small_cnn has no pretrained weights; name a timm backbone",
        ),
        (
            {"classifier": {"backbone": "resnet18", "pretrained": "package"}},
            "classifier.pretrained: no package has weights of resnet18, only of tf_efficientnet_lite0 and "
            "tf_efficientnet_lite1; set it to hub, or give classifier.weights_file a .safetensors file",
        ),
        (
            {**arm(mixing="cutmix"), "classifier": {"training": "frozen"}},
            "arm mine: mixing: cutmix needs a training loop, and classifier.training: frozen has none; leave it out, "
            "or set classifier.training to fine_tuned or scratch",
        ),
        (
            {**arm(candidates=["mixup", "ensemble"]), "classifier": {"training": "frozen"}},
            "arm mine: none of its candidates can be: mixing: mixup needs a training loop, and classifier.training: "
            "frozen has none; leave it out, or set classifier.training to fine_tuned or scratch",
        ),
        (
            arm(synthesis={"strategy": "reconstruct", "generator": "diffusion"}),
            "arm mine: synthesis.strategy: reconstruct needs a generator with a latent space, and "
            "`synthesis.generator: diffusion` has none; use prior, or a generator of kind autoencoder or vae",
        ),
        (
            {**arm(synthesis={"strategy": "prior", "generator": "big"}), "generators": {"big": {"kind": "gam"}}},
            f"generators.big.kind: unknown kind 'gam'; known are {KINDS}",
        ),
        (
            arm(synthesis={"strategy": "prior", "generator": "bigg"}),
            f"arm mine: synthesis.generator: unknown kind 'bigg'; known are {KINDS}",
        ),
        (
            arm(online={"generator": "gan"}),
            "arm mine: online.generator: online synthesis needs a generator with a latent space, and "
            "`online.generator: gan` has none; use autoencoder or vae",
        ),
        (
            {"synthesis": {"strategy": "targeted"}, "classifier": {"dropout": 0}},
            "synthesis.strategy: targeted needs classifier.dropout above 0",
        ),
        (
            {"arms": ["oracle"], "data": {"per_class": 5}},
            "arms: a positive control shows what other arms could gain; add one, such as control",
        ),
        (
            {"arms": ["control", "oracle"]},
            "arm oracle: it takes real images that are left out of training, and none are: set data.per_class (such as "
            "20, or {rare: 20, default: 100}) or data.long_tail, or leave the arm out",
        ),
        (
            {"tuning": {"dropout": {"low": 0, "high": 2}}},
            "tuning.dropout.high: 2 is not a possible dropout",
        ),
        (
            {"classifier": {"backbone": "resnet_18"}},
            "classifier.backbone: timm has no 'resnet_18'; near it: ",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(Config.model_validate(values))
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"generator": {"kind": "autoencoder"}},
        {"generator": {"kind": "gan"}, "synthesis": {"strategy": "prior"}},
        {"generator": {"kind": "gan"}, "arms": ["original"]},
        {"generators": {"big": {"kind": "vae"}}, **arm(synthesis={"generator": "big"}, online={})},
        {"classifier": {"backbone": "resnet18"}},
        {"arms": ["control", "oracle"], "data": {"per_class": {"0": 5}}},
    ],
)
def test_what_fits_passes(values: dict[str, Any]) -> None:
    check_config(Config.model_validate(values))


def test_a_sweep_names_the_combination() -> None:
    sweep = SweepConfig(grid={"generator.kind": {"vae": "vae", "gan": "gan"}})
    with pytest.raises(ConfigError, match=r"^sweep, at generator\.kind = gan: synthesis\.strategy: interpolate needs"):
        check_sweep(sweep)
