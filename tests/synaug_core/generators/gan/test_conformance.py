"""The GAN passes the checks that every generator has to pass."""

import math
from typing import Any

import pytest

from synaug_core.config import GeneratorConfig
from synaug_core.generators.gan import ConditionalGAN
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject

SMALL = GeneratorConfig(kind="gan", steps=6, evaluate_every=2, width=8, latent_dim=4, batch_size=8)


def poison(state: dict[str, Any], name: str, label: int) -> None:
    for network in ("generator", "average", "discriminator"):
        state["networks"][network]["embedding.weight"][label] = math.nan


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_gan(check, tmp_path):
    check(GeneratorSubject(ConditionalGAN, SMALL, folder=tmp_path, isolated=False, poison=poison))


def test_gan_in_colour_and_of_an_odd_size(tmp_path):
    for check in GENERATOR_CHECKS[:2]:
        check(GeneratorSubject(ConditionalGAN, SMALL, folder=tmp_path, isolated=False, channels=3, size=19))
