"""Measures of a set of features beside those of real images: kernel distance, density and coverage, Vendi score."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from synaug_core.quality import distances, features
from synaug_core.seeds import stream

__all__ = ["KidNull", "Manifold", "bandwidth", "density_coverage", "kid", "kid_null", "vendi"]


def kid(a: Tensor, b: Tensor) -> float | None:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (Binkowski et al., 2018, KID).

    All images are used, no subsets, so it serves at any n; unbiased means around 0, also below it, for two samples
    of one distribution.

    Args:
        a: features (n, d).
        b: features (m, d).

    Returns:
        None with fewer than two images on a side.
    """
    if min(len(a), len(b)) < 2:
        return None
    x, y = a.double(), b.double()
    return float(_within(_kernel(x, x)) + _within(_kernel(y, y)) - 2 * _kernel(x, y).mean())


@dataclass(frozen=True)
class KidNull:
    """KID between sets of real images, repeated.

    Attributes:
        n: images on each side.
        values: one for each random pair of disjoint sets.
    """

    n: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the draws."""
        return float(torch.tensor(self.values, dtype=torch.float64).mean())

    @property
    def std(self) -> float:
        """Standard deviation over the draws; 0 of one draw."""
        return float(torch.tensor(self.values, dtype=torch.float64).std(correction=0))

    def z(self, value: float) -> float | None:
        """How many standard deviations a value lies above the mean; None where the draws are all equal."""
        return (value - self.mean) / self.std if self.std > 0 else None

    def share_above(self, value: float) -> float:
        """Share of the draws that are at least as large: near 0, the value is not one of real images."""
        return sum(v >= value for v in self.values) / len(self.values)


def kid_null(reals: Tensor, n: int, draws: int, seed: int) -> KidNull | None:
    """KID between `draws` random disjoint pairs of sets of real images, `n` on each side or half of them at most.

    Args:
        reals: features (m, d).
        n: images on each side in the comparison that the null is for.
        draws: how many pairs.
        seed: of the draws.

    Returns:
        None with fewer than four real images.
    """
    size = min(n, len(reals) // 2)
    if size < 2:
        return None
    kernel, random = _kernel(reals.double(), reals.double()), stream(seed)
    values = []
    for _ in range(draws):
        order = features.subset(len(reals), 2 * size, random)
        first, second = order[:size], order[size:]
        within = _within(kernel[first][:, first]) + _within(kernel[second][:, second])
        values.append(float(within - 2 * kernel[first][:, second].mean()))
    return KidNull(size, tuple(values))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(kernel: Tensor) -> Tensor:
    """Mean over pairs of different images."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


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
    radius = distances.find_nearest(reals, reals, k=k, same=True)[0][:, -1]
    is_within = distances.pairwise(reals, images) < radius[:, None]
    density = float(is_within.double().sum(0).mean()) / k
    return Manifold(k, len(reals), len(images), density, float(is_within.any(dim=1).double().mean()))


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
    distance = distances.pairwise(points, points)
    return float(distance[~torch.eye(n, dtype=torch.bool)].median()) or 1.0


def _cosine(points: Tensor) -> Tensor:
    length = points.norm(dim=1, keepdim=True)
    zero = (length == 0).double()
    unit = torch.cat([points / (length + zero), zero], dim=1)
    return unit @ unit.T


def _rbf(points: Tensor, width: float | None) -> Tensor:
    scale = bandwidth(points) if width is None else width
    return torch.exp(-(distances.pairwise(points, points) ** 2) / (2 * scale**2))
