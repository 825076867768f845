"""How sure a method's figures are: a bootstrap crossed over repetitions and test images."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from synaug_core import frozen, metrics
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import Array, Counts, RareClass, Scorer, ratio, scorers_of, scores
from synaug_core.names import slugs

__all__ = [
    "Finite",
    "Interval",
    "batch_sizes",
    "bounds",
    "check_same_images",
    "draw_repetitions",
    "draw_stratified",
    "intervals",
]

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Interval(frozen.Frozen):
    """A mean and the bounds around it; low <= mean <= high."""

    mean: Finite
    low: Finite
    high: Finite


def bounds(mean: float, resampled: Array, confidence: float) -> Interval:
    """The percentile interval of `resampled` (B,), NaN left aside, never without the mean itself."""
    tail = (1 - confidence) / 2
    finite = resampled[~np.isnan(resampled)]
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (mean, mean)
    return Interval(mean=mean, low=min(float(low), mean), high=max(float(high), mean))


def intervals(
    repetitions: Sequence[Predictions],
    *,
    confidence: float,
    resamples: int,
    seed: int,
    rare: Sequence[RareClass] | None = None,
) -> dict[str, Interval]:
    """Mean over the repetitions of every metric of `scores`, with its interval.

    Each resample draws repetitions, and test images within each class, with replacement and independently
    (the crossed or "pigeonhole" bootstrap: Owen, Annals of Applied Statistics 1, 2007); bounds are percentiles.
    Two things are mended where the plain percentiles mislead:

    - Figures of one class. A class of two images, both found, gives "100 %" in every resample. Each class
      therefore gets one imaginary hit, miss and false alarm among what is drawn (the idea of Agresti and Coull,
      The American Statistician 52, 1998), which widens the interval where images are few and fades where they
      are many. The mean has none of it.
    - The calibration error. Resampling adds noise to every bin, so that each resample has a larger error than
      the data: the draws are shifted back by their mean excess.

    A metric that only some repetitions define is the mean over those.

    Args:
        repetitions: predictions of the repetitions, all for the same test images in the same order.
        confidence: level in (0.5, 1).
        resamples: number of resamples.
        seed: of the draws; equal seeds draw the same images and repetitions for every method.
        rare: of each repetition, the rarest class; None: no figures of it.

    Raises:
        ValueError: no repetition, no image, or repetitions with different test images.
    """
    check_same_images(repetitions)
    scorers = scorers_of(repetitions, rare)
    single = [scores(s.p, s.rare) for s in scorers]
    names = list(dict.fromkeys(name for s in single for name in s))
    means = {name: float(np.mean([s[name] for s in single if name in s])) for name in names}
    resampled = _draws(scorers, resamples, np.random.default_rng(seed))
    for name, metric in metrics.METRICS.items():
        if metric.raised_by_resampling and name in means:
            excess = max(float(resampled[name].mean()) - means[name], 0.0)
            resampled[name] = np.clip(resampled[name] - excess, metric.bounds[0], metric.bounds[1])
    counts = {name for name in names if name.endswith("/support")}
    return {
        name: Interval(mean=means[name], low=means[name], high=means[name])
        if name in counts
        else bounds(means[name], resampled[name], confidence)
        for name in names
    }


def check_same_images(reps: Sequence[Predictions]) -> None:
    """Refuse what cannot be resampled together.

    Raises:
        ValueError: no repetition, no image, or different images, labels or classes.
    """
    if not reps or not len(reps[0]):
        raise ValueError("at least one repetition with at least one image is needed")
    first = reps[0]
    for p in reps[1:]:
        if p.ids != first.ids or p.classes != first.classes or not np.array_equal(p.labels, first.labels):
            raise ValueError("the repetitions are not about the same test images in the same order")


def _draws(scorers: Sequence[Scorer], resamples: int, rng: np.random.Generator) -> dict[str, Array]:
    """Every metric in every resample: name -> (B,)."""
    labels, classes = scorers[0].p.labels, scorers[0].p.classes
    parts = [
        _batch(scorers, labels, classes, size, rng) for size in batch_sizes(len(labels) + 2 * len(classes), resamples)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batch(
    scorers: Sequence[Scorer],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    size: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    n, number = len(labels), len(classes)
    repetition_draws = draw_repetitions(len(scorers), size, rng)
    weights = draw_stratified(labels, size, rng)
    class_indices = np.arange(number)
    padded = draw_stratified(np.concatenate([labels, class_indices, class_indices]), size, rng)
    alarms = rng.poisson(1.0, (number, size)).astype(np.float32)
    draws: dict[str, list[Array]] = {}
    for scorer in scorers:
        values = scorer.measure(weights)
        batch_counts = scorer.counts(padded[:n])
        hits, misses = padded[n : n + number], padded[n + number :]
        batch_counts = Counts(
            batch_counts.hits + hits, batch_counts.support + hits + misses, batch_counts.predicted + hits + alarms
        )
        for c, name in enumerate(slugs(classes).values()):
            values |= {f"class/{name}/{metric}": getattr(batch_counts, metric)[c] for metric in metrics.CLASS_METRICS}
        for metric, value in values.items():
            draws.setdefault(metric, []).append(value)
    return {metric: _mean_over(np.stack(values), repetition_draws) for metric, values in draws.items()}


def _mean_over(values: Array, repetition_draws: NDArray[np.float32]) -> Array:
    """Mean of (R, B) values over the repetitions, each as often as it was drawn; NaN is left aside."""
    is_defined = ~np.isnan(values)
    total = (np.where(is_defined, values, 0.0) * repetition_draws).sum(0, dtype=np.float64)
    weight = (is_defined * repetition_draws).sum(0, dtype=np.float64)
    return ratio(total, weight)


_CELLS = 4_000_000
"""Most cells of one batch of weights: 16 MB."""


def batch_sizes(images: int, resamples: int) -> Iterator[int]:
    """Sizes of batches that keep the weights of all images small."""
    batch_limit = max(1, min(resamples, _CELLS // max(images, 1), 1000))
    for start in range(0, resamples, batch_limit):
        yield min(batch_limit, resamples - start)


def draw_stratified(
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


def draw_repetitions(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 (n, draws): how often each of n repetitions is drawn when n are drawn with replacement."""
    return _drawn(n, n, draws, rng)


def _drawn(n: int, times: int, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    picked = rng.integers(0, n, (times, draws)) * draws + np.arange(draws)
    return np.bincount(picked.ravel(), minlength=n * draws).reshape(n, draws).astype(np.float32)
