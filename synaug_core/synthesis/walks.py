"""Walks between two training images, to look at: what an interpolation passes through."""

from __future__ import annotations

from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator, LatentGenerator
from synaug_core.generators.pixels import to_uint8
from synaug_core.synthesis.latent import walk

__all__ = ["ALPHAS", "walks"]

ALPHAS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_MOST = 12


def walks(generator: Generator, train: ImageSet, config: SynthesisConfig) -> list[tuple[str, Tensor]]:
    """For up to twelve classes of a latent generator: the name, and uint8 images (9, c, h, w) at `ALPHAS` from the
    decoded first to the decoded last image of the class. Empty for a generator without a latent space."""
    import torch

    if not isinstance(generator, LatentGenerator):
        return []
    found = []
    for name in generator.classes[:_MOST]:
        mine = train.of_class(name)
        if len(mine) < 2:
            continue
        mean, _ = generator.encode(mine.images[[0, -1]], name)
        n = len(ALPHAS)
        path = walk(mean[:1].expand(n, -1), mean[1:].expand(n, -1), torch.tensor(ALPHAS), config.path)
        found.append((name, to_uint8(generator.decode(path, name))))
    return found
