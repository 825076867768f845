"""The power of a comparison of two methods: which gain a design shows, and which design would show a gain."""

from collections.abc import Callable
from math import sqrt

import numpy as np

from synaug_core.evaluate import contrast, intervals
from synaug_core.evaluate.folds import overlap
from synaug_core.evaluate.variance import Measured, Spread
from synaug_core.frozen import Frozen

__all__ = [
    "POWER",
    "Needed",
    "Power",
    "detectable",
    "images_needed",
    "power_of",
    "power_report",
    "repetitions_needed",
]

POWER = 0.8
"""Probability with which a true gain is to be shown."""
MOST = 10_000
"""More repetitions, or more times the images, than this count as out of reach."""
_FAR = 10.0
"""A gain that no metric has."""


def power_of(gain: float, spread: Spread, pairs: int, level: float, images: float = 1.0) -> float:
    """Probability that a two-sided t test at `level` finds a true gain: 1 - F(t_crit; df, gain / sqrt(V)), F the
    noncentral t distribution. Without `shared` and `ratio` it is the paired t test's.

    Args:
        gain: above 0.
        spread: parts of the variance.
        pairs: 2 or more.
        level: in (0, 1).
        images: times the present number of test images.
    """
    variance, df = spread.variance(pairs, images)
    return _power(gain / sqrt(variance), df, level) if variance else 1.0


def detectable(spread: Spread, pairs: int, level: float, power: float = POWER) -> float | None:
    """The smallest gain that is found with probability `power`; None: so few pairs find none."""
    if pairs < contrast.LEAST or power_of(_FAR, spread, pairs, level) < power:
        return None
    low, high = 0.0, _FAR
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(middle, spread, pairs, level) < power else (low, middle)
    return high


def repetitions_needed(
    gain: float, spread: Spread, level: float, *, folds: int = 1, power: float = POWER
) -> int | None:
    """Fewest repetitions, of `folds` pairs each and 6 pairs or more, that find the gain; None: more than 10,000."""
    return _least(lambda r: power_of(gain, spread, r * folds, level) >= power, -(-contrast.LEAST // folds))


def images_needed(
    gain: float, spread: Spread, pairs: int, level: float, *, images: int, power: float = POWER
) -> int | None:
    """Fewest test images with which so many pairs find the gain; None: not even 10,000 times the present `images`."""
    if pairs < contrast.LEAST:
        return None
    times = _least(lambda m: power_of(gain, spread, pairs, level, m) >= power, 1)
    if times is None:
        return None
    low, high = (times - 1) * images, times * images
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(gain, spread, pairs, level, middle / images) >= power else (middle, high)
    return high


def _power(noncentrality: float, df: float, level: float) -> float:
    from scipy.special import nctdtr, ndtr, ndtri, stdtrit

    if df > 1e5:  # the noncentral t's series tires; the normal is as good
        return float(ndtr(noncentrality + ndtri(level / 2)))
    power = 1 - float(nctdtr(df, noncentrality, stdtrit(df, 1 - level / 2)))
    return power if np.isfinite(power) else 1.0  # only far beyond any power asked for


def _least(enough: Callable[[int], bool], start: int) -> int | None:
    """The smallest number from `start` to 10,000 that is enough, when all beyond it are too."""
    high = start
    while not enough(high):
        if high >= MOST:
            return None
        high = min(2 * high, MOST)
    low = max(start - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


WISHED = (0.02, 0.05)


class Needed(Frozen):
    """What it would take to show one gain."""

    gain: intervals.Finite
    repetitions: int | None
    """Paired repetitions (of the whole cross-validation, if it is one) on as many test images as now; None: no number
    would do, for the test images are too few."""
    images: int | None
    """Test images of the same mix of classes, with as many repetitions as now; None: no number would do."""


class Power(Frozen):
    """Planning figures for the contrast that the verdict rests on; no part of the verdict. Differences are shares."""

    metric: str
    level: float
    power: float
    """Probability with which a gain of the size named is to be shown."""
    repetitions: int
    """Paired repetitions that there were (of the whole cross-validation, if it is one)."""
    folds: int | None
    images: int
    """Distinct test images."""
    sd: intervals.Finite
    """Standard deviation of the paired differences."""
    from_repetitions: intervals.Finite
    """Part of the standard error of the mean difference that more repetitions would shrink."""
    from_images: intervals.Finite
    """Part that only more test images would shrink; in cross-validation: that only other data would."""
    detectable: intervals.Finite | None
    """Smallest true gain that the present design shows with that probability; None: it can show none."""
    observed: Needed | None
    """For a true gain as large as the one seen; None where none was seen."""
    wished: tuple[Needed, ...]
    """For gains of 2 and 5 points."""


def power_report(
    difference: Measured, metric: str, *, level: float, repetitions: int, folds: int | None = None
) -> Power | None:
    """Planning figures from the paired differences seen; None for fewer than two pairs or pairs that never differ.

    On one test part they rest on the same parts of the variance as the test. Folds have no image in common, so all that
    images do is crossed; that more images also train better is left out, so that what folds would need is overestimated
    rather than under. The figures rest on an estimated variance: with six pairs they may be half or twice as large.

    Args:
        difference: of one method's trainings from the other's, in the order repetition * folds + fold.
        metric: its name.
        level: of the two-sided test.
        repetitions: paired repetitions (of the whole cross-validation, if it is one).
        folds: number of folds; None: all repetitions have the same test images.
    """
    images = sum(len(labels) for labels in difference.labels[: folds or 1])
    difference = difference.defined()
    number = len(difference.values)
    if number < 2:
        return None
    spread = difference.spread() if folds is None else difference.fold_spread(overlap(folds))
    if not spread.variance(number)[0]:
        return None

    def needed(gain: float) -> Needed:
        return Needed(
            gain=gain,
            repetitions=repetitions_needed(gain, spread, level, folds=folds or 1),
            images=images_needed(gain, spread, number, level, images=images),
        )

    observed_gain = float(difference.values.mean())
    sampled = spread.training + spread.crossed
    return Power(
        metric=metric,
        level=level,
        power=POWER,
        repetitions=repetitions,
        folds=folds,
        images=images,
        sd=float(difference.values.std(ddof=1)),
        from_repetitions=sqrt(sampled / number),
        from_images=sqrt(spread.shared + sampled * spread.ratio),
        detectable=detectable(spread, number, level),
        observed=needed(observed_gain) if observed_gain > 0 else None,
        wished=tuple(needed(gain) for gain in WISHED),
    )
