"""Has the mix of predicted classes changed?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrequencyTest", "frequency_test"]

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FrequencyTest:
    """A test of two rows of counts.

    Attributes:
        statistic: Pearson's chi-square of homogeneity.
        p_value: exact but for the number of draws, at any counts.
    """

    statistic: float
    p_value: float


def frequency_test(reference: Sequence[int], recent: Sequence[int], *, draws: int, seed: int) -> FrequencyTest:
    """Pearson's chi-square of two rows of class counts, with its p-value by random tables of the same margins: the
    classes of a set of images drawn without replacement from both sets together. It holds where the chi-square
    distribution does not, as with rare classes.

    Args:
        reference: images predicted as each class.
        recent: the same, in the same order of classes.
        draws: random tables.
        seed: of the draws.

    Raises:
        ValueError: counts of different length, or a side without images.
    """
    reference_counts, recent_counts = np.asarray(reference, dtype=np.int64), np.asarray(recent, dtype=np.int64)
    if reference_counts.shape != recent_counts.shape or reference_counts.sum() == 0 or recent_counts.sum() == 0:
        raise ValueError("counts of the same classes are needed, with an image on each side")
    pooled, m = reference_counts + recent_counts, int(recent_counts.sum())
    observed = float(_statistic(recent_counts[None], pooled, m)[0])
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(pooled, m, size=draws, method="marginals")
    as_far = int((_statistic(drawn, pooled, m) >= observed * (1 - _TOLERANCE) - _TOLERANCE).sum())
    return FrequencyTest(observed, (1 + as_far) / (1 + draws))


def _statistic(recent: NDArray[np.int64], pooled: NDArray[np.int64], m: int) -> NDArray[np.float64]:
    """Pearson's chi-square of (B, k) counts of m images against the rest of the pool."""
    possible = pooled > 0
    total = int(pooled.sum())
    expected = pooled[possible] * (m / total)
    statistic: NDArray[np.float64] = ((recent[:, possible] - expected) ** 2 / expected).sum(1) * (total / (total - m))
    return statistic
