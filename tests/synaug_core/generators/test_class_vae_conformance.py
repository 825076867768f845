"""The VAE passes the checks that every generator has to pass, trained class by class and stacked."""

import math
from typing import Any

import pytest

from synaug_core.config import GeneratorConfig, VAEConfig
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject, check_missing_images_are_refused

SMALL = GeneratorConfig(steps=12, evaluate_every=4, width=4, latent_dim=4, batch_size=8)


def poison_its_own(state: dict[str, Any], name: str, label: int) -> None:
    state["executor"][name]["model"]["encoder.head.weight"].fill_(math.nan)


def poison_its_row(state: dict[str, Any], name: str, label: int) -> None:
    [executor] = state["executor"]["stacks"]
    executor["parameters"]["encoder.head.weight"][executor["names"].index(name)] = math.nan


@pytest.mark.parametrize("execution", ["loop", "stack"])
@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_vae(check, execution, tmp_path):
    config = SMALL.model_copy(update={"vae": VAEConfig(execution=execution)})
    poison = {"loop": poison_its_own, "stack": poison_its_row}[execution]
    check(GeneratorSubject(ClassVAE, config, folder=tmp_path, isolated=execution == "loop", poison=poison))


def test_vae_in_colour_mirrored_and_of_an_odd_size(tmp_path):
    config = SMALL.model_copy(update={"augment": "mirror", "vae": VAEConfig(variance=0.01)})
    for check in GENERATOR_CHECKS[:2]:
        check(GeneratorSubject(ClassVAE, config, folder=tmp_path, channels=3, size=19))


def test_another_size_is_another_size_for_a_subject_of_any_size(tmp_path):
    check_missing_images_are_refused(GeneratorSubject(ClassVAE, SMALL, folder=tmp_path, size=20))
