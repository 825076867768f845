"""Every built-in generator passes the checks on a GPU too."""

import pytest
import torch

from synaug_core.config import DiffusionConfig, GeneratorConfig, VAEConfig
from synaug_core.generators import registry
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject

_SMALL = {"steps": 6, "evaluate_every": 2, "width": 8, "latent_dim": 4, "batch_size": 8}
_CONFIGS = {
    "vae one by one": GeneratorConfig(**_SMALL, vae=VAEConfig(execution="loop")),
    "vae stacked": GeneratorConfig(**_SMALL, vae=VAEConfig(execution="stack")),
    "autoencoder": GeneratorConfig(kind="autoencoder", **_SMALL),
    "gan": GeneratorConfig(kind="gan", **_SMALL),
    "diffusion": GeneratorConfig(kind="diffusion", **_SMALL, diffusion=DiffusionConfig(sampling_steps=3)),
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", _CONFIGS)
@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_it_passes(check, name, tmp_path):
    config = _CONFIGS[name]
    kind = registry.find(config.kind)
    check(GeneratorSubject(kind, config, folder=tmp_path, device=torch.device("cuda"), isolated=False))
