"""Is one method better than another? Paired differences, their intervals and tests."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from synaug_core.evaluate import intervals, variance
from synaug_core.frozen import Frozen
from synaug_core.metrics import METRICS

__all__ = ["LEAST", "Contrast", "Tested", "contrast", "hardest", "holm", "within"]

LEAST = 6
"""Fewest paired trainings that may show a gain, whatever the test."""


Tested = tuple[intervals.Interval, float, int]
"""The mean difference with its interval, the p-value, and the number of pairs."""


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
    test: Literal["components_t", "corrected_t", "sign_flip"] = "sign_flip"
    """The t test on the variance's components, trainings and test images, over paired repetitions on the same test
    images; the corrected resampled t test (Nadeau and Bengio) over folds; or, in comparisons of earlier versions, the
    exact sign-flip test over repetitions."""

    @property
    def one_sided_p(self) -> float:
        """For a gain: half of the two-sided p where the arm did better, else what that leaves of 1."""
        return self.p_value / 2 if self.difference.mean > 0 else 1 - self.p_value / 2

    def shows_gain(self, level: float) -> bool:
        """Whether enough pairs differ in favour of the arm, and more than chance would at this level."""
        return self.repetitions >= LEAST and self.difference.low > 0 and self.p_adjusted < level


def contrast(arm: variance.Measured, control: variance.Measured, metric: str, confidence: float) -> Tested:
    """Mean paired difference (arm - control), its interval, its p-value and the number of pairs.

    The t test of `variance.t_test` on the parts of the difference's variance; the interval holds the differences that
    it does not refuse, so that the two agree.

    Args:
        arm: the metric of one method's trainings.
        control: that of the other's, for the same images; what one side has more is left aside.
        metric: its name.
        confidence: level of the interval.

    Raises:
        ValueError: no pair, or a metric that is undefined on the test images.
    """
    difference = arm.minus(control)
    if np.isnan(difference.values).any():
        raise ValueError(f"{metric} is undefined on these test images")
    pairs = len(difference.values)
    interval, p = variance.t_test(float(difference.values.mean()), difference.spread(), pairs, confidence)
    return within(interval, metric), p, pairs


def hardest(contrasts: Sequence[Contrast]) -> Contrast:
    """Of one arm against several, that with the largest p-value of a one-sided test for a gain; of equals that with the
    smallest difference. Where it shows a gain, all do: an intersection-union test (Berger, Technometrics 24, 1982),
    which needs no correction for how many there are."""
    return max(contrasts, key=lambda c: (c.one_sided_p, -c.difference.mean))


def within(difference: intervals.Interval, metric: str) -> intervals.Interval:
    """The interval of a difference, cut where the metric's own bounds end it."""
    low, high = METRICS[metric].bounds
    widest = high - low
    return intervals.Interval(mean=difference.mean, low=max(difference.low, -widest), high=min(difference.high, widest))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of a family of tests, adjusted by Holm's step-down method (1979), in the order given."""
    adjusted_p: dict[str, float] = {}
    running_maximum = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        running_maximum = max(running_maximum, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted_p[name] = running_maximum
    return {name: adjusted_p[name] for name in p_values}
