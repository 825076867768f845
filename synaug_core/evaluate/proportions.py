"""A share of right answers among n: the exact test of a fair coin, and Wilson's interval."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

__all__ = ["binomial_p", "wilson"]


def binomial_p(right: int, n: int) -> float:
    """Two-sided p of the exact binomial test against one half; 1 for n = 0."""
    ways = tail = 1
    for k in range(min(right, n - right)):
        ways = ways * (n - k) // (k + 1)  # of choosing k + 1 among n, from those of choosing k
        tail += ways
    p: float = 2 * tail / 2**n
    return min(1.0, p)


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share of n > 0 trials (Wilson, Journal of the American Statistical Association 22,
    1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
