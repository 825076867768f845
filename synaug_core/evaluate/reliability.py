"""Whether an arm's probabilities can be taken at their word, before and after temperature scaling, and where a class
would be told from the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synaug_core.evaluate.intervals import Finite
from synaug_core.evaluate.metrics import calibration
from synaug_core.evaluate.operating import OperatingPoint, mean_curve, operating_points
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import Scorer
from synaug_core.evaluate.temperature import apply, fit_temperature, negative_log_likelihood
from synaug_core.frozen import Frozen

__all__ = ["ConfidenceBins", "ProbabilityScores", "Reliability", "brier", "reliability"]


class ConfidenceBins(Frozen):
    """15 equal-width bins of the top label's confidence, summed over repetitions."""

    images: tuple[int, ...]
    confidence: tuple[Finite, ...]
    """Sum of confidences."""
    correct: tuple[int, ...]

    @classmethod
    def of(cls, repetitions: Sequence[Predictions]) -> ConfidenceBins:
        """Of one repetition at least."""
        images, confidence, correct = np.sum([calibration(p) for p in repetitions], axis=0).tolist()
        return cls(
            images=tuple(int(n) for n in images),
            confidence=tuple(confidence),
            correct=tuple(int(n) for n in correct),
        )


class ProbabilityScores(Frozen):
    """How far probabilities are from what happened, on the test images: means over repetitions."""

    ece: Finite
    """Expected calibration error of the top label, [0, 1]."""
    nll: Finite
    """Mean negative log-likelihood, nats."""
    brier: Finite
    """Brier score, [0, 2]."""
    bins: ConfidenceBins


class Reliability(Frozen):
    """One arm's probabilities on the test images."""

    repetitions: int
    temperatures: tuple[Finite, ...]
    """Of each repetition, learned on its validation images; 1 where they cannot say."""
    validation_images: int
    """Of the repetition with the fewest."""
    before: ProbabilityScores
    after: ProbabilityScores
    """After scaling with each repetition's temperature."""
    rarest: str
    points: dict[str, OperatingPoint]
    """Operating point of each class, from the probabilities as they are."""
    curve: tuple[tuple[Finite, Finite], ...]
    """(recall, precision) of the rarest class against the rest on the test images; empty without images of it."""

    @property
    def temperature(self) -> float:
        """Mean over the repetitions."""
        return float(np.mean(self.temperatures))

    @property
    def point(self) -> OperatingPoint:
        """The rarest class's operating point."""
        return self.points[self.rarest]


def brier(p: Predictions) -> float:
    """Mean over images of the sum over classes of (p - truth)^2, in [0, 2] (Brier, Monthly Weather Review 78, 1950).

    Raises:
        ValueError: no image.
    """
    if not len(p):
        raise ValueError("at least one image is needed")
    truth = np.arange(len(p.classes)) == p.labels[:, None]
    return float(np.mean(((p.probabilities.astype(np.float64) - truth) ** 2).sum(1)))


def reliability(
    test: Sequence[Predictions],
    validation: Sequence[Predictions | None],
    *,
    rarest: str,
    precision: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> Reliability:
    """Calibration and operating points of one arm. Temperatures and thresholds come from the validation images of
    each repetition; the test images only say what they are worth.

    Args:
        test: predictions of the repetitions on their test images, which may differ (folds).
        validation: predictions of the same repetitions on their validation images, None where there are none.
        rarest: the class whose precision-recall curve is kept.
        precision: that thresholds are set for, in (0, 1].
        confidence: level of the intervals, in (0.5, 1).
        resamples: number of bootstrap resamples.
        seed: of their draws.

    Raises:
        ValueError: no repetition, one without test images, lists of different lengths, different classes, an
            unknown class, or one image with two labels.
    """
    points = operating_points(
        test, validation, precision=precision, confidence=confidence, resamples=resamples, seed=seed
    )
    if rarest not in points:
        raise ValueError(f"no class is called {rarest}")
    temperatures = tuple(fit_temperature(p) for p in validation)
    return Reliability(
        repetitions=len(test),
        temperatures=temperatures,
        validation_images=min(0 if p is None else len(p) for p in validation),
        before=_scored(test),
        after=_scored([apply(p, t) for p, t in zip(test, temperatures, strict=True)]),
        rarest=rarest,
        points=points,
        curve=mean_curve(test, test[0].classes.index(rarest)),
    )


def _scored(repetitions: Sequence[Predictions]) -> ProbabilityScores:
    return ProbabilityScores(
        ece=float(np.mean([Scorer(p).ece(np.ones((len(p), 1)))[0] for p in repetitions])),
        nll=float(np.mean([negative_log_likelihood(p) for p in repetitions])),
        brier=float(np.mean([brier(p) for p in repetitions])),
        bins=ConfidenceBins.of(repetitions),
    )
