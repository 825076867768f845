"""Shares of right answers: Wilson's interval, and the exact binomial and McNemar tests."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import Annotated

from pydantic import Field

from synaug_core.evaluate import intervals, predictions
from synaug_core.frozen import Frozen

__all__ = [
    "Discordance",
    "at_least_wilson",
    "binomial_p",
    "discordances",
    "images_for_width",
    "mcnemar",
    "wilson",
]


def binomial_p(successes: int, n: int) -> float:
    """Two-sided p of the exact binomial test against one half; 1 for n = 0."""
    ways = tail = 1
    for k in range(min(successes, n - successes)):
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


def images_for_width(share: float, half: float, confidence: float = 0.95) -> int:
    """Fewest images of which Wilson's interval of a share is no wider than twice `half`, in (0, 0.5)."""
    n = 1
    while True:
        low, high = wilson(share, n, confidence)
        if high - low <= 2 * half:
            return n
        n += 1


def at_least_wilson(interval: intervals.Interval, images: float, confidence: float) -> intervals.Interval:
    """The interval of a share, made no narrower than Wilson's for so many different images."""
    low, high = wilson(interval.mean, images, confidence)
    return intervals.Interval(mean=interval.mean, low=min(interval.low, low), high=max(interval.high, high))


class Discordance(Frozen):
    """One pair of trained models on the test images."""

    repetition: int
    only_arm_right: int
    """Images that only the first model got right."""
    only_against_right: int
    """Images that only the second got right."""
    p_value: Annotated[float, Field(ge=0, le=1)]
    """Two-sided exact McNemar test: of these two models, not of the two methods."""


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact McNemar p-value from the numbers of images that only one side got right."""
    return binomial_p(only_first, only_first + only_second)


def discordances(
    arm_predictions: Sequence[predictions.Predictions], control_predictions: Sequence[predictions.Predictions]
) -> tuple[Discordance, ...]:
    """The McNemar test of each pair of repetitions, in their order.

    The p-values are for reading one by one and are not combined: all pairs stand on the same test images, so an
    image that happens to suit one method speaks for it in every pair, and no rule for independent tests holds.

    Args:
        arm_predictions: predictions of one method's repetitions.
        control_predictions: those of the other, for the same images; what one side has more is left aside.

    Raises:
        ValueError: no pair, or different test images.
    """
    pairs = min(len(arm_predictions), len(control_predictions))
    intervals.check_same_images([*arm_predictions[:pairs], *control_predictions[:pairs]])
    pairs_compared = []
    for i, (a, b) in enumerate(zip(arm_predictions[:pairs], control_predictions[:pairs], strict=True)):
        right, control_right = a.predicted == a.labels, b.predicted == b.labels
        gained, lost = int((right & ~control_right).sum()), int((control_right & ~right).sum())
        pairs_compared.append(
            Discordance(repetition=i, only_arm_right=gained, only_against_right=lost, p_value=mcnemar(gained, lost))
        )
    return tuple(pairs_compared)
