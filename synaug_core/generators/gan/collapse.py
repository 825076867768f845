"""Does the generator make as many kinds of images as it has seen?

Both measures are ratios, samples over real images of one class, of distances between images shrunk to 16 px:
what a class varies in at that size (place, shape, colour) is what a collapsed generator no longer varies.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["EXAMINED", "SUSPECT_DISTANCE", "SUSPECT_DIVERSITY", "measure", "note"]

EXAMINED = 64
"""Most images of a class, and as many samples, that are compared."""
SUSPECT_DIVERSITY = 0.5
"""Below this ratio of mean pairwise distances a collapse is suspected: all samples are much alike."""
SUSPECT_DISTANCE = 0.2
"""Below this ratio of mean distances to the nearest neighbour too: there are a few images that come again and again."""
_FEWEST = 5
"""Images of a class below which the ratios are told, but say too little to suspect anything."""
_SIDE = 16
_EQUAL = 1e-4
"""A mean distance of real images under this, in [0, 1] pixel units, is none: the class is one image over and over."""


def measure(real: Tensor, made: Tensor) -> dict[str, float]:
    """How varied samples of a class are beside its images.

    Args:
        real: uint8 (n, channels, size, size).
        made: uint8 (m, channels, size, size), on the same device; as many of them as of the real ones are used.

    Returns:
        `diversity`, the ratio of mean pairwise distances, and `neighbour_distance`, that of mean distances to the
        nearest neighbour; 1: as varied as the real images, 0: all equal. A ratio is left out where it is not
        defined: fewer than two images, or real images that are all equal (or, for the second, all in pairs).
    """
    n = min(len(real), len(made))  # a nearest neighbour is nearer among more
    if n < 2:
        return {}
    ours, theirs = _distances(made[:n]), _distances(real[:n])
    return {
        name: float(ours[i] / theirs[i])
        for i, name in enumerate(("diversity", "neighbour_distance"))
        if theirs[i] > _EQUAL
    }


def note(class_name: str, images: int, measures: dict[str, float]) -> str | None:
    """A sentence for the user where the measures of a class of so many images look like a mode collapse."""
    diversity, distance = measures.get("diversity"), measures.get("neighbour_distance")
    if images < _FEWEST:
        return None
    if diversity is not None and diversity < SUSPECT_DIVERSITY:
        return f"mode collapse suspected: samples of {class_name} are {diversity:.2f} times as varied as its images"
    if distance is not None and distance < SUSPECT_DISTANCE:
        return (
            f"mode collapse suspected: samples of {class_name} are {distance:.2f} times as far from their nearest "
            "neighbour as its images"
        )
    return None


def _distances(images: Tensor) -> tuple[float, float]:
    """Mean distance of two images, and of an image to its nearest neighbour: root mean squares in [0, 1] units."""
    pixels = images.to(torch.float64).div_(255)
    if pixels.shape[-1] > _SIDE:
        pixels = F.adaptive_avg_pool2d(pixels, _SIDE)
    flat = pixels.flatten(1)
    between = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / flat.shape[1] ** 0.5
    n = len(between)
    apart = between.fill_diagonal_(torch.inf)
    nearest = float(apart.min(1).values.mean())
    return float(between.fill_diagonal_(0).sum()) / (n * (n - 1)), nearest
