"""From latent vectors to images."""

from __future__ import annotations

import torch
from torch import Tensor

from synaug_core.generators.exact import exact
from synaug_core.generators.pixels import in_chunks
from synaug_core.nets.gan import ImageGenerator

__all__ = ["sample"]


def sample(generator: ImageGenerator, z: Tensor, label: int) -> Tensor:
    """Images float32 (n, channels, size, size) in [0, 1] of one class, from latents (n, latent) on its device.

    An image depends on its own vector alone, not on how many are made with it.
    """

    def work(part: Tensor) -> Tensor:
        labels = torch.full((len(part),), label, dtype=torch.int64, device=part.device)
        images: Tensor = generator(part, labels)
        return images.add(1).mul(0.5)

    with torch.no_grad(), exact(z.device):
        return in_chunks(z, work)
