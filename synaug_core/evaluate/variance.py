"""Where the mean of paired differences varies, over trainings and over test images, and the t test that rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate import predictions, scorer
from synaug_core.evaluate.intervals import Interval

__all__ = ["Measured", "Spread", "measure", "measure_shares", "t_test"]


@dataclass(frozen=True)
class Spread:
    """Where the variance of the mean paired difference comes from.

    With J pairs and m times the present test images it is

        V(J, m) = (training + crossed / m) (1 / J + ratio) + shared / m

    `training`: between trainings, beyond the test images. `crossed`: what single pairs owe to the choice of test
    images, each its own. `shared`: what all pairs owe to it together, estimated with `image_df` degrees of freedom.
    `ratio`: the correction of Nadeau and Bengio for folds, otherwise 0.
    """

    training: float
    crossed: float
    shared: float
    ratio: float = 0.0
    image_df: float = inf

    def variance(self, pairs: int, images: float = 1.0) -> tuple[float, float]:
        """V, and its degrees of freedom by Satterthwaite (Biometrics Bulletin 2, 1946): J - 1 for the sampled part."""
        sampled = (self.training + self.crossed / images) * (1 / pairs + self.ratio)
        shared = self.shared / images
        total = sampled + shared
        uncertainty = sampled**2 / (pairs - 1) if sampled else 0.0
        uncertainty += shared**2 / (self.image_df * images)
        return total, total**2 / uncertainty if uncertainty else inf


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of some trainings, or its differences between the trainings of two arms.

    Attributes:
        values: float64 (R,); NaN where the test images do not define the metric.
        influences: of each training, float64 (n,): see `Scorer.influence`.
        labels: of each training, int64 (n,): its test images' classes.
    """

    values: NDArray[np.float64]
    influences: tuple[scorer.Array, ...]
    labels: tuple[NDArray[np.int64], ...]

    def minus(self, control: Measured) -> Measured:
        """The i-th trainings of both as pairs; what one side has more is left aside."""
        pairs = min(len(self.values), len(control.values))
        return Measured(
            self.values[:pairs] - control.values[:pairs],
            tuple(a - b for a, b in zip(self.influences, control.influences, strict=False)),
            self.labels[:pairs],
        )

    def defined(self) -> Measured:
        """Those whose value is not NaN."""
        rows = np.flatnonzero(~np.isnan(self.values))
        return Measured(self.values[rows], tuple(self.influences[i] for i in rows), tuple(self.labels[i] for i in rows))

    def spread(self) -> Spread:
        """The parts of the variance of the mean, all values being about the same test images.

        The analysis of readers and cases of Obuchowski and Rockette (Communications in Statistics - Simulation 24,
        1995) with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007), where trainings are the readers.
        The covariance of two trainings over new test images comes from their influence values, as in DeLong, DeLong and
        Clarke-Pearson (Biometrics 44, 1988): off the diagonal it estimates `shared`, on it shared + crossed. The sample
        variance of the values estimates training + crossed; it counts as no less than `crossed`, and nothing as less
        than 0. `image_df` is Welch's, over the classes.

        Raises:
            ValueError: no value, or a NaN.
        """
        number = len(self.values)
        if not number or np.isnan(self.values).any():
            raise ValueError("values: at least one, and all defined, expected")
        covariance, image_df = _image_covariance(np.stack(self.influences), self.labels[0])
        single = float(np.trace(covariance)) / number
        if number == 1:
            return Spread(training=0.0, crossed=0.0, shared=single, image_df=image_df)
        between = (float(covariance.sum()) - single * number) / (number * (number - 1))
        shared = max(0.0, between)
        crossed = max(0.0, single - shared)
        training = max(0.0, float(self.values.var(ddof=1)) - crossed)
        return Spread(training=training, crossed=crossed, shared=shared, image_df=image_df)

    def fold_spread(self, ratio: float) -> Spread:
        """The parts where each value is about test images of its own: all that images do is `crossed`.

        Raises:
            ValueError: fewer than two values, or a NaN.
        """
        if len(self.values) < 2 or np.isnan(self.values).any():
            raise ValueError("values: at least two, and all defined, expected")
        parts = zip(self.influences, self.labels, strict=True)
        single = np.mean([_image_covariance(v[None], labels)[0] for v, labels in parts])
        total = float(self.values.var(ddof=1))
        crossed = min(float(single), total)
        return Spread(training=total - crossed, crossed=crossed, shared=0.0, ratio=ratio)


def measure_shares(labels: NDArray[np.int64], shares: Sequence[scorer.Array]) -> Measured:
    """Balanced accuracy of trainings of which each gets a share in [0, 1] of each image right.

    Args:
        labels: int64 (n,): the images' classes, the same for all trainings.
        shares: of each training, (n,).
    """
    classes = len(np.unique(labels))
    influences = tuple(np.asarray(share, np.float64) / classes for share in shares)
    weights = (1 / np.bincount(labels).clip(1))[labels]
    return Measured(np.array([v @ weights for v in influences]), influences, (labels,) * len(influences))


def measure(
    trainings: Sequence[predictions.Predictions], metric: str, rare: Sequence[scorer.RareClass] | None = None
) -> Measured:
    """One endpoint of each training, with its influence values; those of the rarest class need to know which it is."""
    scorers = scorer.scorers_of(trainings, rare)
    values = [scorer.ENDPOINTS[metric](s, np.ones((len(s.p), 1)))[0] for s in scorers]
    return Measured(
        np.array(values, np.float64),
        tuple(s.influence(metric) for s in scorers),
        tuple(p.labels for p in trainings),
    )


def _image_covariance(influences: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[scorer.Array, float]:
    """(R, R) covariance of the values over new test images of each class, and the degrees of freedom of their mean's.

    Each class gets one imaginary image of influence 0: in a difference, one that tells neither side from the other.
    Without it three images that one arm finds and the other does not would be certain (the idea of Agresti and Coull,
    The American Statistician 52, 1998); it fades where images are many, or the difference is small.
    """
    covariance = np.zeros((len(influences), len(influences)))
    uncertainty = 0.0
    for c in np.unique(labels):
        of_class = influences[:, labels == c]
        n = of_class.shape[1]
        mean = of_class.mean(1, keepdims=True)
        centred = of_class - mean
        part = (centred @ centred.T / max(n - 1, 1) + mean @ mean.T / (n + 1)) / n
        covariance += part
        uncertainty += float(part.mean()) ** 2 / max(n - 1, 1)
    return covariance, float(covariance.mean()) ** 2 / uncertainty if uncertainty else inf


def t_test(mean: float, spread: Spread, pairs: int, confidence: float) -> tuple[Interval, float]:
    """The two-sided t test of a mean of `pairs` values against 0, and the interval of means that it does not refuse.

    Returns:
        The interval, not bounded by any metric's range, and the p-value; 0 or 1 where nothing varies.
    """
    from scipy.special import stdtr, stdtrit

    variance, df = spread.variance(pairs)
    error, df = sqrt(variance), min(df, 1e9)
    half = float(stdtrit(df, (1 + confidence) / 2)) * error
    t = abs(mean) / error if error else (inf if mean else 0.0)
    p = min(1.0, 2 * float(stdtr(df, -t)))
    return Interval(mean=mean, low=mean - half, high=mean + half), p
