"""Non-leaky augmentation (Karras et al., arXiv 2206.00364, section 5 and appendix F.2): the network is told what was
done to an image, so that asked for none of it, it makes images without."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LENGTH", "draw", "warp"]

LENGTH = 6
"""Numbers that describe what was done; all zero for nothing."""
_PROBABILITY = 0.12
"""Of each of the four kinds, independently (Karras et al. take 12 % for small sets)."""
_SCALE = 0.2
"""Standard deviation of the binary logarithm of the scale."""
_SHIFT = 0.125
"""Standard deviation of a shift over the side."""


def draw(n: int, random: torch.Generator) -> Tensor:
    """What to do to `n` images, float32 (n, LENGTH).

    Columns: flipped top to bottom (0 or 1), log2 of the scale over its standard deviation, cosine - 1 and sine
    of the rotation, shift right and down over their standard deviation.
    """
    normal = torch.randn(n, 3, generator=random)
    angle = (2 * torch.rand(n, generator=random) - 1) * math.pi
    chosen = (torch.rand(n, 4, generator=random) < _PROBABILITY).to(torch.float32)
    numbers = (chosen[:, 0], normal[:, 0], angle.cos() - 1, angle.sin(), normal[:, 1], normal[:, 2])
    return torch.stack(numbers, dim=1) * chosen[:, [0, 1, 2, 2, 3, 3]]


def warp(images: Tensor, done: Tensor) -> Tensor:
    """The images with that done to them; those with a row of zeros come back to the last bit.

    Args:
        images: float32 (n, channels, size, size).
        done: float32 (n, LENGTH) as from `draw`.
    """
    flip, scale, cosine, sine = 1 - 2 * done[:, 0], torch.exp2(-_SCALE * done[:, 1]), done[:, 2] + 1, done[:, 3]
    right, down = -2 * _SHIFT * done[:, 4], -2 * _SHIFT * done[:, 5]  # where an output pixel is read from
    rows = (
        torch.stack((scale * cosine, -scale * sine, right), dim=1),
        torch.stack((flip * scale * sine, flip * scale * cosine, down), dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return torch.where(done.any(dim=1)[:, None, None, None], warped, images)
