"""Whether an arm's probabilities can be trusted, before and after temperature scaling, and at a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate import intervals, operating, scorer
from synaug_core.evaluate.predictions import Predictions
from synaug_core.frozen import Frozen

__all__ = [
    "LIMITS",
    "PULL",
    "ConfidenceBins",
    "ProbabilityScores",
    "Reliability",
    "apply",
    "brier",
    "fit_temperature",
    "negative_log_likelihood",
    "reliability",
]

LIMITS = (0.05, 20.0)
"""Smallest and largest temperature. Networks need 0.5 to 5: what lies beyond these is a sign of too few images."""
PULL = 4.0
"""Of 0, 1, 2, 4 and 8 the best on the whole in simulations with 10 to 50 images; with 300 all are equal."""


def fit_temperature(validation: Predictions | None, *, pull: float = PULL) -> float:
    """The T > 0 of softmax(logits / T) that minimises the negative log-likelihood (Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017, section 4.2), held a little towards 1.

    Probabilities are enough: log p is the logits but for a constant in each row, which the softmax takes out
    again. With b = 1 / T, what is minimised is

        sum over images of -log softmax(b * logits)[true class]  +  pull * (b - 1 - log b)

    where the second term is a Gamma prior on b with its mode at 1. Both are convex in b. Without it, a few dozen
    images that happen to be classified rightly would send T towards 0. Beside hundreds of images it weighs nothing.

    Args:
        validation: predictions of images that were not trained with; never of the test images.
        pull: strength of the hold, 0 or more; 0 is Guo's method.

    Returns:
        T in `LIMITS`; above 1 the classifier was too sure, below 1 not sure enough. It is 1 where the images cannot
        say: there are none, or all are of one class.

    Raises:
        ValueError: a negative pull.
    """
    if pull < 0:
        raise ValueError(f"pull: 0 or more expected, got {pull}")
    if validation is None or len(np.unique(validation.labels)) < 2:
        return 1.0
    from scipy.optimize import minimize_scalar

    z = _logits(validation)
    true = float(z[np.arange(len(z)), validation.labels].sum())

    def loss(log_b: float) -> float:
        b = np.exp(log_b)
        return float(np.log(np.exp(b * z).sum(1)).sum() - b * true + pull * (b - 1 - log_b))

    bounds = (-np.log(LIMITS[1]), -np.log(LIMITS[0]))
    optimum = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(np.clip(np.exp(-optimum.x), *LIMITS))


def apply(predictions: Predictions, temperature: float) -> Predictions:
    """The same predictions with p ** (1 / T), renormalised: equal to softmax(logits / T).

    The order of the classes of an image does not change; the order of the images in one class's probability may.

    Returns:
        float64 probabilities; T = 1 gives the predictions back as they are.

    Raises:
        ValueError: a temperature that is not positive and finite.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature: a positive number expected, got {temperature}")
    if temperature == 1.0:
        return predictions
    p = np.exp(_logits(predictions) / temperature)
    p /= p.sum(1, keepdims=True)
    return Predictions(predictions.ids, predictions.labels, p, predictions.classes)


def negative_log_likelihood(predictions: Predictions) -> float:
    """Mean of -log p(true class), nats; a probability of 0 counts as 1.2e-38.

    Raises:
        ValueError: no image.
    """
    if not len(predictions):
        raise ValueError("at least one image is needed")
    return float(scorer.Scorer(predictions).nll(np.ones((len(predictions), 1)))[0])


def _logits(predictions: Predictions) -> NDArray[np.float64]:
    """float64 (n, C): log p, moved so that the largest of each row is 0."""
    z = np.log(np.maximum(predictions.probabilities.astype(np.float64), scorer.LEAST_PROBABILITY))
    return np.asarray(z - z.max(1, keepdims=True, initial=-np.inf), np.float64)


class ConfidenceBins(Frozen):
    """15 equal-width bins of the top label's confidence, summed over repetitions."""

    images: tuple[int, ...]
    confidence: tuple[intervals.Finite, ...]
    """Sum of confidences."""
    correct: tuple[int, ...]

    @classmethod
    def from_predictions(cls, repetitions: Sequence[Predictions]) -> ConfidenceBins:
        """Count the bins over one repetition or more."""
        images, confidence, correct = np.sum([scorer.calibration(p) for p in repetitions], axis=0).tolist()
        return cls(
            images=tuple(int(n) for n in images),
            confidence=tuple(confidence),
            correct=tuple(int(n) for n in correct),
        )


class ProbabilityScores(Frozen):
    """How far probabilities are from the true classes, on the test images: means over repetitions."""

    ece: intervals.Finite
    """Expected calibration error of the top label, [0, 1]."""
    nll: intervals.Finite
    """Mean negative log-likelihood, nats."""
    brier: intervals.Finite
    """Brier score, [0, 2]."""
    bins: ConfidenceBins


class Reliability(Frozen):
    """One arm's probabilities on the test images."""

    repetitions: int
    temperatures: tuple[intervals.Finite, ...]
    """Of each repetition, learned on its validation images; 1 where they cannot say."""
    validation_images: int
    """Of the repetition with the fewest."""
    before: ProbabilityScores
    after: ProbabilityScores
    """After scaling with each repetition's temperature."""
    rarest: str
    points: dict[str, operating.OperatingPoint]
    """Operating point of each class, from the probabilities as they are."""
    curve: tuple[tuple[intervals.Finite, intervals.Finite], ...]
    """(recall, precision) of the rarest class against the rest on the test images; empty without images of it."""

    @property
    def temperature(self) -> float:
        """Mean over the repetitions."""
        return float(np.mean(self.temperatures))

    def metrics(self) -> dict[str, float]:
        """Map MLflow names to values over all classes after temperature scaling; those before are metrics."""
        scaled = {f"{name}_scaled": getattr(self.after, name) for name in ("ece", "nll", "brier")}
        return {"temperature": self.temperature} | scaled

    @property
    def point(self) -> operating.OperatingPoint:
        """The rarest class's operating point."""
        return self.points[self.rarest]


def brier(p: Predictions) -> float:
    """Mean over images of the sum over classes of (p - truth)^2, in [0, 2] (Brier, Monthly Weather Review 78, 1950).

    Raises:
        ValueError: no image.
    """
    if not len(p):
        raise ValueError("at least one image is needed")
    return float(scorer.Scorer(p).brier(np.ones((len(p), 1)))[0])


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
    points = operating.operating_points(
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
        curve=operating.mean_curve(test, test[0].classes.index(rarest)),
    )


def _scored(repetitions: Sequence[Predictions]) -> ProbabilityScores:
    return ProbabilityScores(
        ece=float(np.mean([scorer.Scorer(p).ece(np.ones((len(p), 1)))[0] for p in repetitions])),
        nll=float(np.mean([negative_log_likelihood(p) for p in repetitions])),
        brier=float(np.mean([brier(p) for p in repetitions])),
        bins=ConfidenceBins.from_predictions(repetitions),
    )
