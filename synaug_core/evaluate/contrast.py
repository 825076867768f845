"""Is one method better than another? Paired differences, their intervals and exact tests."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from synaug_core.evaluate import intervals, predictions, scorer
from synaug_core.frozen import Frozen

__all__ = [
    "LEAST",
    "Contrast",
    "Pairs",
    "attained_level",
    "contrast",
    "holm",
    "needed_repetitions",
    "sign_flip",
]

LEAST = 6
"""Fewest paired trainings that may show a gain, whatever the test."""

_EXACT_UP_TO = 16
_MONTE_CARLO = 65_536


class Contrast(Frozen):
    """One method against another on one metric: the mean difference over paired repetitions."""

    arm: str
    against: str
    metric: str
    difference: intervals.Interval
    p_value: Annotated[float, Field(ge=0, le=1)]
    """Two-sided, of `test`."""
    p_adjusted: Annotated[float, Field(ge=0, le=1)]
    """After Holm over the family it belongs to."""
    repetitions: int
    """Number of pairs; in cross-validation every fold of every repetition is one."""
    test: Literal["sign_flip", "corrected_t"] = "sign_flip"
    """Exact sign-flip test over paired repetitions on the same test images, or the corrected resampled t test
    (Nadeau and Bengio) over folds."""


class Pairs:
    """The i-th trainings of two methods as pairs, on a primary endpoint; what one side has more is left aside."""

    def __init__(
        self,
        arm_predictions: Sequence[predictions.Predictions],
        control_predictions: Sequence[predictions.Predictions],
        metric: str,
    ) -> None:
        self._measure = scorer.ENDPOINTS[metric]
        self._scorers = [
            (scorer.Scorer(a), scorer.Scorer(b)) for a, b in zip(arm_predictions, control_predictions, strict=False)
        ]

    def differences(self) -> NDArray[np.float64]:
        """float64 (R,): arm minus control; NaN where the metric is undefined."""
        return np.array(
            [self.weighted_difference(i, np.ones((len(a.p), 1)))[0] for i, (a, _) in enumerate(self._scorers)]
        )

    def weighted_difference(self, pair: int, weights: scorer.Array) -> scorer.Array:
        """(B,): arm minus control in one pair under image weights (n, B)."""
        a, b = self._scorers[pair]
        return self._measure(a, weights) - self._measure(b, weights)

    def __len__(self) -> int:
        return len(self._scorers)


def contrast(
    arm_predictions: Sequence[predictions.Predictions],
    control_predictions: Sequence[predictions.Predictions],
    metric: str,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[intervals.Interval, float, int]:
    """Mean paired difference (arm - control) of a primary endpoint, its p-value and the number of pairs.

    The i-th repetitions form a pair; what one side has more is left aside. The interval is the crossed bootstrap
    over pairs and test images (stratified by class), both sides under the same draws.

    Args:
        arm_predictions: predictions of one method's repetitions.
        control_predictions: those of the other, for the same images.
        metric: `balanced_accuracy` or `macro_auc`.
        confidence: level of the interval.
        resamples: number of bootstrap resamples.
        seed: of the draws.

    Raises:
        ValueError: no pair, different test images, or a metric that is undefined on them.
    """
    pairs = Pairs(arm_predictions, control_predictions, metric)
    number = len(pairs)
    intervals.check_same_images([*arm_predictions[:number], *control_predictions[:number]])
    labels = arm_predictions[0].labels
    observed_differences = pairs.differences()
    if np.isnan(observed_differences).any():
        raise ValueError(f"{metric} is undefined on these test images")
    rng = np.random.default_rng(seed)
    resampled = []
    for size in intervals.batch_sizes(len(labels), resamples):
        repetition_draws = intervals.draw_repetitions(number, size, rng)
        weights = intervals.draw_stratified(labels, size, rng)
        differences = np.stack([pairs.weighted_difference(i, weights) for i in range(number)])
        resampled.append((differences * repetition_draws).sum(0) / number)
    interval = intervals.bounds(float(observed_differences.mean()), np.concatenate(resampled), confidence)
    return interval, sign_flip(observed_differences, seed=seed), number


def sign_flip(differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p-value of the paired differences' mean when each sign is a coin's (Fisher's randomisation test).

    All 2^n patterns for n <= 16, else 65,536 seeded random ones. The least value for n pairs is 2^(1-n).
    """
    values = np.asarray(differences, np.float64)
    n = len(values)
    if n <= _EXACT_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (_MONTE_CARLO, n))
        signs[0] = 1.0  # the data itself is one of the patterns, or p could be 0
    # sums that differ by rounding alone are equal
    as_extreme = np.abs(signs @ values) >= abs(values.sum()) - 1e-12 * max(n, 1)
    return float(as_extreme.mean())


def needed_repetitions(level: float) -> int:
    """The least number of pairs, never under 6, whose sign-flip test can reach p < level."""
    n = LEAST
    while 2.0 ** (1 - n) >= level:
        n += 1
    return n


def attained_level(level: float, pairs: int) -> float:
    """The largest p-value under `level` that a sign-flip test of so many pairs can give (0: none); its p-values are
    multiples of 2^(1-n), so that 6 pairs are tested at 3.1 % where 5 % are asked for."""
    if pairs > _EXACT_UP_TO:
        return level
    smallest_p = 2.0 ** (1 - pairs)
    return smallest_p * (ceil(level / smallest_p) - 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of a family of tests, adjusted by Holm's step-down method (1979), in the order given."""
    adjusted_p: dict[str, float] = {}
    running_maximum = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        running_maximum = max(running_maximum, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted_p[name] = running_maximum
    return {name: adjusted_p[name] for name in p_values}
