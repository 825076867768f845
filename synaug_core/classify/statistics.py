"""The mean and spread that a classifier normalises by."""

from __future__ import annotations

import torch

from synaug_core.data.imageset import ImageSet

__all__ = ["channel_statistics"]

_SMALLEST_STD = 1e-2
_CHUNK = 1024


def channel_statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the real training images, for pixels in [0, 1].

    Synthetic images are left out, so that all arms normalise alike; a set
    without real images uses all. The counts of the 256 values are exact, so the order of the images is no matter.

    Returns:
        Two tuples of `channels` floats; the standard deviation is at least 0.01.
    """
    real = ~images.is_synthetic()
    pixels = images.images[real] if bool(real.any()) else images.images
    values = torch.arange(256, dtype=torch.float64) / 255
    means, spreads = [], []
    for channel in range(images.channels):
        counts = torch.zeros(256, dtype=torch.int64)
        for part in torch.split(pixels[:, channel], _CHUNK):
            counts += torch.bincount(part.flatten().int(), minlength=256)
        share = counts.double() / counts.sum()
        mean = (share * values).sum()
        means.append(float(mean))
        spreads.append(max(float((share * (values - mean) ** 2).sum().sqrt()), _SMALLEST_STD))
    return tuple(means), tuple(spreads)
