"""The Vendi score: how many different images there are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from synaug_core.quality.distances import pairwise

__all__ = ["bandwidth", "vendi"]


def vendi(points: Tensor, kernel: Literal["cosine", "rbf"] = "cosine", width: float | None = None) -> float | None:
    """Exponential of the entropy of the eigenvalues of K / n (Friedman and Dieng, 2022).

    1 where all are equal, n where all are unlike; so it is to be compared at equal n.

    Args:
        points: features (n, d).
        kernel: cosine of the angle, or exp(-distance^2 / (2 width^2)). Two vectors of length 0 count as equal, and
            as unlike all others.
        width: of the rbf kernel, the same for all sets that are compared; default: `bandwidth(points)`.

    Returns:
        A value in [1, n]; None with fewer than two images.
    """
    n = len(points)
    if n < 2:
        return None
    similarity = _cosine(points.double()) if kernel == "cosine" else _rbf(points, width)
    values = torch.linalg.eigvalsh(similarity / n).clamp(min=0)
    present = values[values > 0]
    return float((-(present * present.log()).sum()).exp().clamp(1, n))


def bandwidth(points: Tensor) -> float:
    """Median distance between different points; 1 where that is 0 or there is one point."""
    n = len(points)
    if n < 2:
        return 1.0
    distance = pairwise(points, points)
    return float(distance[~torch.eye(n, dtype=torch.bool)].median()) or 1.0


def _cosine(points: Tensor) -> Tensor:
    length = points.norm(dim=1, keepdim=True)
    zero = (length == 0).double()
    unit = torch.cat([points / (length + zero), zero], dim=1)
    return unit @ unit.T


def _rbf(points: Tensor, width: float | None) -> Tensor:
    scale = bandwidth(points) if width is None else width
    return torch.exp(-(pairwise(points, points) ** 2) / (2 * scale**2))
