"""From nothing but the generator: a control that interpolation has to beat."""

from __future__ import annotations

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator
from synaug_core.synthesis.made import Made

__all__ = ["prior"]


def prior(
    generator: Generator, images: ImageSet, class_name: str, n: int, config: SynthesisConfig, *, seed: int
) -> Made:
    """The generator's own samples: for a VAE, decoded draws from N(0, I). Works on any generator."""
    return Made(generator.sample(n, class_name, seed=seed), [{"parents": []} for _ in range(n)])
