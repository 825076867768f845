"""Density and coverage: do images lie where real ones lie, and everywhere where they lie?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from synaug_core.quality.distances import nearest, pairwise

__all__ = ["Manifold", "density_coverage"]


@dataclass(frozen=True)
class Manifold:
    """Fidelity and diversity of images beside real ones.

    Attributes:
        k: neighbours that made a real image's ball.
        reals: number of real images.
        images: number of the others.
        density: mean number of balls that an image lies in, over k; about 1 for real images, may exceed 1.
        coverage: share of the real images in whose ball an image lies, in [0, 1]. It grows with n.
    """

    k: int
    reals: int
    images: int
    density: float
    coverage: float


def density_coverage(reals: Tensor, images: Tensor, k: int) -> Manifold | None:
    """Density and coverage (Naeem et al., 2020). A real image's ball reaches to its k-th nearest real neighbour.

    Args:
        reals: features (n, d).
        images: features (m, d).
        k: clamped to n - 1.

    Returns:
        None with fewer than two images on a side.
    """
    if min(len(reals), len(images)) < 2:
        return None
    k = min(k, len(reals) - 1)
    radius = nearest(reals, reals, k=k, same=True)[0][:, -1]
    inside = pairwise(reals, images) < radius[:, None]
    density = float(inside.double().sum(0).mean()) / k
    return Manifold(k, len(reals), len(images), density, float(inside.any(dim=1).double().mean()))
