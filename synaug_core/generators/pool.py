"""The training images of a fit, where batches are taken from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Pool"]


class Pool:
    """All images of a group on the device, uint8, from which batches are taken."""

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self._pixels = images.permute(0, 2, 3, 1).contiguous().to(device)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self._pixels.device

    def batch(self, rows: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float32 in [0, 1]: (*rows.shape, channels, size, size), channels last in memory."""
        images = self._pixels[rows].to(torch.float32).mul_(1 / 255).movedim(-1, -3)
        return images if mirrored is None else torch.where(mirrored[..., None, None, None], images.flip(-1), images)
