"""The diffusion model passes the checks that every generator has to pass."""

import math
from typing import Any

import pytest

from synaug_core.config import DiffusionConfig, GeneratorConfig
from synaug_core.generators.diffusion import ConditionalDiffusion
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject

SMALL = GeneratorConfig(
    kind="diffusion",
    steps=4,
    evaluate_every=2,
    width=8,
    batch_size=8,
    diffusion=DiffusionConfig(sampling_steps=3),
)


def poison(state: dict[str, Any], name: str, label: int) -> None:
    state["network"]["condition.weight"][:, label] = math.nan


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_diffusion(check, tmp_path):
    check(GeneratorSubject(ConditionalDiffusion, SMALL, folder=tmp_path, isolated=False, poison=poison))


def test_diffusion_in_colour_of_an_odd_size_by_the_other_solver(tmp_path):
    options = SMALL.diffusion.model_copy(update={"sampler": "dpm", "guidance": 1.0})
    config = SMALL.model_copy(update={"diffusion": options, "augment": "none"})
    for check in GENERATOR_CHECKS[:2]:
        check(GeneratorSubject(ConditionalDiffusion, config, folder=tmp_path, isolated=False, channels=3, size=29))
