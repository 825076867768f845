"""The autoencoder passes the checks that every generator has to pass."""

import math
from typing import Any

import pytest

from synaug_core.config import AutoencoderConfig, GeneratorConfig
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject

SMALL = GeneratorConfig(kind="autoencoder", steps=12, evaluate_every=4, width=4, batch_size=8)


def poison(state: dict[str, Any], name: str, label: int) -> None:
    """No part of the model belongs to one class."""
    next(iter(state["model"].values())).fill_(math.nan)


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_autoencoder(check, tmp_path):
    check(GeneratorSubject(SpatialAutoencoder, SMALL, folder=tmp_path, isolated=False, poison=poison))


@pytest.mark.parametrize("downsampling", [2, 8])
def test_in_colour_and_of_an_odd_size(downsampling, tmp_path):
    choices = AutoencoderConfig(downsampling=downsampling, channels=3)
    config = SMALL.model_copy(update={"autoencoder": choices})
    for check in GENERATOR_CHECKS[:2]:
        check(GeneratorSubject(SpatialAutoencoder, config, folder=tmp_path, channels=3, size=19, isolated=False))
