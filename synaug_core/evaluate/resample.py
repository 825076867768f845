"""Bootstrap draws, as counts of how often each thing was drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches", "repetitions", "stratified"]

_CELLS = 4_000_000
"""Most cells of one batch of weights: 16 MB."""


def batches(images: int, resamples: int) -> Iterator[int]:
    """Sizes of batches that keep the weights of all images small."""
    most = max(1, min(resamples, _CELLS // max(images, 1), 1000))
    for start in range(0, resamples, most):
        yield min(most, resamples - start)


def stratified(
    labels: NDArray[np.int64], draws: int, rng: np.random.Generator, *, fewer: int = 0
) -> NDArray[np.float32]:
    """float32 (n, draws): each class is drawn anew with replacement, as many times as it has images.

    With `fewer=1`, one time less where there are two images or more: the variance of a mean over so many draws
    estimates that over new images without bias (Rao and Wu, Journal of the American Statistical Association 83, 1988).
    """
    weights = np.zeros((len(labels), draws), np.float32)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        weights[rows] = _drawn(len(rows), max(1, len(rows) - fewer), draws, rng)
    return weights


def repetitions(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 (n, draws): n repetitions drawn n times with replacement."""
    return _drawn(n, n, draws, rng)


def _drawn(n: int, times: int, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    picked = rng.integers(0, n, (times, draws)) * draws + np.arange(draws)
    return np.bincount(picked.ravel(), minlength=n * draws).reshape(n, draws).astype(np.float32)
