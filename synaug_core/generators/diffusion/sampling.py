"""From noise to images with few steps, the same for the same noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Denoise", "denoiser", "sample_deterministic"]

Denoise = Callable[[Tensor, Tensor], Tensor]
"""The clean images behind noisy ones (n, channels, size, size) at levels int64 (n,)."""


def denoiser(
    network: nn.Module,
    signal_shares: Tensor,
    condition: Tensor,
    hidden: Tensor,
    guidance: float,
    bounds: tuple[Tensor, Tensor],
) -> Denoise:
    """The network's guess of the clean image, clipped to the range of images.

    Classifier-free guidance (Ho and Salimans, arXiv 2207.12598, there w = guidance - 1): velocity without the class
    + guidance x (velocity with it - without it). Guidance 1 and 0 need one of them only and compute no other.

    Args:
        network: gives the velocity v = alpha noise - sigma image of (noisy, levels, conditions).
        signal_shares: alpha squared of each level.
        condition: float32 (length,).
        hidden: the condition without a class, float32 (length,).
        guidance: 0 or more.
        bounds: the least and the greatest value of a pixel, each of a shape that broadcasts to the images'.
    """
    alpha, sigma = signal_shares.sqrt().to(torch.float32), (1 - signal_shares).sqrt().to(torch.float32)

    def guess(noisy: Tensor, levels: Tensor) -> Tensor:
        n = len(noisy)
        if guidance in (0.0, 1.0):
            velocity = network(noisy, levels, (condition if guidance else hidden).expand(n, -1))
        else:
            both = torch.cat((condition.expand(n, -1), hidden.expand(n, -1)))
            of_class, of_any = network(noisy.repeat(2, 1, 1, 1), levels.repeat(2), both).chunk(2)
            velocity = of_any + guidance * (of_class - of_any)
        scale = (n, 1, 1, 1)
        image: Tensor = alpha[levels].view(scale) * noisy - sigma[levels].view(scale) * velocity
        return image.clamp(*bounds)

    return guess


def sample_deterministic(denoise: Denoise, noise: Tensor, solver: Any) -> Tensor:
    """Images of standard normal noise, both float32 (n, channels, size, size), by a fresh solver."""
    images = noise
    for level in solver.timesteps.tolist():
        levels = torch.full((len(images),), level, dtype=torch.int64, device=images.device)
        images = solver.step(denoise(images, levels), level, images, return_dict=False)[0]
    return images
