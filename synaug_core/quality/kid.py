"""Kernel distance between two sets of features, and what it is between two sets of real images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.quality.features import subset
from synaug_core.seeds import stream

__all__ = ["KidNull", "kid", "kid_null"]


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
    """KID of real to real images.

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
        order = subset(len(reals), 2 * size, random)
        one, other = order[:size], order[size:]
        within = _within(kernel[one][:, one]) + _within(kernel[other][:, other])
        values.append(float(within - 2 * kernel[one][:, other].mean()))
    return KidNull(size, tuple(values))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(kernel: Tensor) -> Tensor:
    """Mean over pairs of different images."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
