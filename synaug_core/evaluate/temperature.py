"""Temperature scaling: one number, learned on the validation images, that makes probabilities honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.predictions import Predictions

__all__ = ["LIMITS", "PULL", "apply", "fit_temperature", "negative_log_likelihood"]

LIMITS = (0.05, 20.0)
"""Smallest and largest temperature. Networks need 0.5 to 5: what lies beyond these is a sign of too few images."""
PULL = 4.0
"""Of 0, 1, 2, 4 and 8 the best on the whole in simulations with 10 to 50 images; with 300 all are equal."""
_LEAST = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as: the smallest that float32 holds in full, 87 nats. The log of 0 would let one
image decide alone."""


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
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(np.clip(np.exp(-found.x), *LIMITS))


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
    p = predictions.probabilities[np.arange(len(predictions)), predictions.labels].astype(np.float64)
    return float(-np.mean(np.log(np.clip(p, _LEAST, 1.0))))


def _logits(predictions: Predictions) -> NDArray[np.float64]:
    """float64 (n, C): log p, moved so that the largest of each row is 0."""
    z = np.log(np.maximum(predictions.probabilities.astype(np.float64), _LEAST))
    return np.asarray(z - z.max(1, keepdims=True, initial=-np.inf), np.float64)
