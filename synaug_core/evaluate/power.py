"""The power of a comparison of two methods: which gain a design shows, and which design would show a gain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate import contrast, intervals, predictions, scorer
from synaug_core.evaluate.folds import overlap
from synaug_core.frozen import Frozen

__all__ = [
    "POWER",
    "Needed",
    "Power",
    "PowerFunction",
    "Spread",
    "corrected_t_power",
    "detectable",
    "images_needed",
    "power_of",
    "power_report",
    "repetitions_needed",
    "sign_flip_power",
]

POWER = 0.8
"""Probability with which a true gain is to be shown."""
MOST = 10_000
"""More repetitions, or more times the images, than this count as out of reach."""
_FAR = 10.0
"""A gain that no metric has."""


class PowerFunction(Protocol):
    """The power of a test."""

    def __call__(self, gain: float, pairs: int, images: float = 1.0) -> float:
        """Probability that a true gain is shown by so many pairs on so many times the present test images."""


@dataclass(frozen=True)
class Spread:
    """Where the variance of the mean paired difference comes from.

    With J pairs and m times the present test images it is

        V(J, m) = (training + crossed / m) (1 / J + ratio) + shared / m

    `training`: between trainings, beyond the test images. `crossed`: what single pairs owe to the choice of test
    images, each its own. `shared`: what all pairs owe to it together. `ratio`: the correction of Nadeau and Bengio
    for folds, otherwise 0. The sample variance of the paired differences estimates training + crossed.
    """

    training: float
    crossed: float
    shared: float
    ratio: float = 0.0

    def variance(self, pairs: int, images: float = 1.0) -> tuple[float, float]:
        """V, and its degrees of freedom by Satterthwaite: J - 1 for the sampled part, no end for the other."""
        sampled = (self.training + self.crossed / images) * (1 / pairs + self.ratio)
        total = sampled + self.shared / images
        return total, (pairs - 1) * (total / sampled) ** 2 if sampled else np.inf


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


def sign_flip_power(spread: Spread, level: float) -> PowerFunction:
    """Power of the rule for repetitions on the same test images: about that of the t test at the level that the
    sign-flip test attains. Where only differences of one sign reach it, as with 6 pairs at 5 %, never more than their
    probability, E[Phi((gain + u) / sigma)^J] over u ~ N(0, shared), sigma^2 = training + crossed."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)

    def power_at(gain: float, pairs: int, images: float = 1.0) -> float:
        from scipy.special import ndtr

        attained = contrast.attained_level(level, pairs)
        if attained <= 0:
            return 0.0
        power = power_of(gain, spread, pairs, attained, images)
        sigma = sqrt(spread.training + spread.crossed / images)
        if attained > 2.0 ** (1 - pairs) or not sigma:
            return power
        shifted = gain + sqrt(spread.shared / images) * nodes
        return min(power, float(ndtr(shifted / sigma) ** pairs @ weights / weights.sum()))

    return power_at


def corrected_t_power(spread: Spread, level: float) -> PowerFunction:
    """Power of the corrected resampled t test over folds."""
    return lambda gain, pairs, images=1.0: power_of(gain, spread, pairs, level, images)


def detectable(power_at: PowerFunction, pairs: int, power: float = POWER) -> float | None:
    """The smallest gain that is found with probability `power`; None: so few pairs find none."""
    if pairs < contrast.LEAST or power_at(_FAR, pairs) < power:
        return None
    low, high = 0.0, _FAR
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if power_at(middle, pairs) < power else (low, middle)
    return high


def repetitions_needed(gain: float, power_at: PowerFunction, *, folds: int = 1, power: float = POWER) -> int | None:
    """Fewest repetitions, of `folds` pairs each and 6 pairs or more, that find the gain; None: more than 10,000."""
    return _least(lambda r: power_at(gain, r * folds) >= power, -(-contrast.LEAST // folds))


def images_needed(gain: float, power_at: PowerFunction, pairs: int, *, images: int, power: float = POWER) -> int | None:
    """Fewest test images with which so many pairs find the gain; None: not even 10,000 times the present `images`."""
    if pairs < contrast.LEAST:
        return None
    times = _least(lambda m: power_at(gain, pairs, m) >= power, 1)
    if times is None:
        return None
    low, high = (times - 1) * images, times * images
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(gain, pairs, middle / images) >= power else (middle, high)
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
    arm_predictions: Sequence[predictions.Predictions],
    control_predictions: Sequence[predictions.Predictions],
    metric: str,
    *,
    level: float,
    resamples: int,
    seed: int,
    folds: int | None = None,
) -> Power | None:
    """Planning figures from the paired differences seen; None for fewer than two pairs or pairs that never differ.

    The image parts of `Spread` come from a bootstrap over the test images within each class: the variance of one
    pair's difference estimates shared + crossed, that of the mean over J pairs shared + crossed / J. Folds have no
    image in common, so all of theirs is crossed; that more images also train better is left out, so that what folds
    would need is overestimated rather than under. The figures rest on an estimated variance: with six pairs they may
    be half or twice as large.

    Args:
        arm_predictions: predictions of one method's repetitions, or in the order repetition * folds + fold.
        control_predictions: those of the other, with the same images at each index.
        metric: `balanced_accuracy` or `macro_auc`.
        level: of the two-sided test.
        resamples: bootstrap resamples.
        seed: of the draws.
        folds: number of folds; None: all repetitions have the same test images.
    """
    pairs = contrast.Pairs(arm_predictions, control_predictions, metric)
    differences = pairs.differences()
    defined_pairs = np.flatnonzero(~np.isnan(differences))
    number = len(defined_pairs)
    if number < 2:
        return None
    single, mean = _image_variances(
        arm_predictions, pairs, defined_pairs, resamples, np.random.default_rng(seed), folds is None
    )
    spread = _spread(differences[defined_pairs], single, mean, 0.0 if folds is None else overlap(folds))
    if not spread.variance(number)[0]:
        return None
    power_at = (sign_flip_power if folds is None else corrected_t_power)(spread, level)
    images = sum(len(p) for p in arm_predictions[: folds or 1])

    def needed(gain: float) -> Needed:
        return Needed(
            gain=gain,
            repetitions=repetitions_needed(gain, power_at, folds=folds or 1),
            images=images_needed(gain, power_at, number, images=images),
        )

    observed_gain = float(differences[defined_pairs].mean())
    sampled = spread.training + spread.crossed
    return Power(
        metric=metric,
        level=level,
        power=POWER,
        repetitions=len(pairs) // (folds or 1),
        folds=folds,
        images=images,
        sd=sqrt(sampled),
        from_repetitions=sqrt(sampled / number),
        from_images=sqrt(spread.shared + sampled * spread.ratio),
        detectable=detectable(power_at, number),
        observed=needed(observed_gain) if observed_gain > 0 else None,
        wished=tuple(needed(gain) for gain in WISHED),
    )


def _spread(differences: NDArray[np.float64], single: float, mean: float, ratio: float) -> Spread:
    number, total = len(differences), float(differences.var(ddof=1))
    crossed = max(0.0, (single - mean) * number / (number - 1))
    shared = 0.0 if ratio else max(0.0, mean - crossed / number)
    crossed = min(crossed, total)
    return Spread(training=total - crossed, crossed=crossed, shared=shared, ratio=ratio)


def _image_variances(
    arm_predictions: Sequence[predictions.Predictions],
    pairs: contrast.Pairs,
    defined_pairs: NDArray[np.int64],
    resamples: int,
    rng: np.random.Generator,
    same_images: bool,
) -> tuple[float, float]:
    """Bootstrap variance over test images of one pair's difference (mean over the pairs), and of their mean."""

    def drawn(members: NDArray[np.int64]) -> scorer.Array:
        labels = arm_predictions[members[0]].labels
        parts = []
        for size in intervals.batch_sizes(len(labels), resamples):
            weights = intervals.draw_stratified(labels, size, rng, fewer=1)
            parts.append(np.stack([pairs.weighted_difference(int(i), weights) for i in members]))
        return np.concatenate(parts, axis=1).astype(np.float64)

    pair_differences = (
        drawn(defined_pairs)
        if same_images
        else np.concatenate([drawn(defined_pairs[[i]]) for i in range(len(defined_pairs))])
    )
    return float(pair_differences.var(axis=1).mean()), float(pair_differences.mean(axis=0).var())
