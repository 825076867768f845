"""Differentiable augmentation of whole batches (DiffAugment; Zhao et al., NeurIPS 2020).

The discriminator sees real and made images only like this; as gradients pass through, the generator learns the
images before the augmentation. All chance comes in as uniform numbers, so that equal numbers give equal images.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

__all__ = ["CHANCES", "augment"]

CHANCES = 8
"""Uniform numbers that one image takes."""
_SHIFT = 1 / 8
"""Furthest translation, as a share of the side."""
_CUT = 1 / 2
"""Side of the square cut out, as a share of the image's."""


def augment(images: Tensor, chances: Tensor, kinds: Collection[str]) -> Tensor:
    """Each image altered in its own way; differentiable, any number of times.

    Args:
        images: float (n, channels, size, size) in [-1, 1].
        chances: uniform in [0, 1), (n, CHANCES).
        kinds: of `color` (brightness, saturation, contrast), `translation` and `cutout` (both leave mid-grey,
            0, behind) and `mirror`; none: the images as they are.

    Returns:
        The same shape. `color` may leave [-1, 1]; the others do not. It is not clamped, as that would stop the
        gradients of what it clamps.
    """
    if "color" in kinds:
        images = _color(images, *chances[:, :3, None, None, None].unbind(1))
    if "translation" in kinds or "mirror" in kinds:
        images = _move(images, chances[:, 3:6], shift="translation" in kinds, mirror="mirror" in kinds)
    if "cutout" in kinds:
        images = _cut(images, chances[:, 6:8])
    return images


def _color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _move(images: Tensor, chances: Tensor, *, shift: bool, mirror: bool) -> Tensor:
    """By a matrix for the rows and one for the columns, each row of it a single one or nothing.

    Products with ones and zeros are exact, and their gradients take the same order of summing every time,
    which those of gathered pixels do not on a GPU.
    """
    size = images.shape[-1]
    most = round(size * _SHIFT) if shift else 0
    places = torch.arange(size, device=images.device)
    steps = (chances[:, :2] * (2 * most + 1)).floor().to(torch.int64) - most
    target = places[None, :, None] - steps[:, None, :]  # n, place, axis
    down, across = target.unbind(2)
    if mirror:
        across = torch.where(chances[:, 2:3] < 0.5, size - 1 - across, across)
    rows = (down[:, :, None] == places).to(images.dtype)
    columns = (across[:, :, None] == places).to(images.dtype)
    return rows[:, None] @ images @ columns[:, None].mT


def _cut(images: Tensor, chances: Tensor) -> Tensor:
    size = images.shape[-1]
    side = round(size * _CUT)
    places = torch.arange(size, device=images.device)
    # the square's centre lies anywhere in the image, so that its corners are cut as often as its middle
    first = (chances * (size + 1 - side % 2)).floor().to(torch.int64) - side // 2
    inside = (places >= first[..., None]) & (places < first[..., None] + side)  # n, axis, place
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images * (~hole)[:, None].to(images.dtype)
