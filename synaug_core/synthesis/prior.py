"""From nothing but the generator: a control that interpolation has to beat."""

from synaug_core.config import SynthesisConfig
from synaug_core.synthesis.strategy import NewImages, Source

__all__ = ["prior"]


def prior(source: Source, n: int, config: SynthesisConfig, *, seed: int) -> NewImages:
    """The generator's own samples: for a VAE, decoded draws from N(0, I). Works on any generator."""
    return NewImages(source.sampler().sample(n, source.class_name, seed=seed), [{"parents": []} for _ in range(n)])
