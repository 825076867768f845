"""One class against the rest at a threshold: set on the validation images, measured on the test images."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from synaug_core.evaluate import predictions, scorer
from synaug_core.evaluate.intervals import Finite, Interval, batch_sizes, bounds, draw_repetitions, draw_stratified
from synaug_core.frozen import Frozen

__all__ = [
    "FEW",
    "OperatingPoint",
    "Threshold",
    "mean_curve",
    "operating_points",
    "precision_recall",
    "specificity_threshold",
    "threshold_for",
]

Share = Annotated[float, Field(ge=0, le=1)]

FEW = 10
"""With fewer validation images of a class, its threshold is little more than chance."""
_STEPS = 50
"""Points of a mean curve."""


class Threshold(Frozen):
    """An image is taken for the class if its probability is at least `value`."""

    value: Finite
    precision: Share
    """On the images it was set with: the best case."""
    recall: Share


class OperatingPoint(Frozen):
    """What a class's thresholds, one for each repetition, do on the test images."""

    target_precision: Annotated[
        Share, Field(validation_alias=AliasChoices("target_precision", "wanted"), serialization_alias="wanted")
    ]
    """Precision that the thresholds were set for."""
    thresholds: tuple[Threshold | None, ...]
    """Of each repetition; None: no threshold reaches the precision on its validation images, or there are none."""
    validation_positives: int
    """Validation images of the class: of the repetition with the fewest."""
    test_positives: int
    """Test images of the class, each counted once."""
    precision: Interval | None
    """On the test images, over the repetitions that take any image for the class; None where none does."""
    recall: Interval | None
    """On the test images. A repetition without a threshold finds nothing and counts 0; None where no repetition has
    one, or no test image is of the class."""

    @property
    def reached_count(self) -> int:
        """Repetitions with a threshold."""
        return sum(t is not None for t in self.thresholds)

    @property
    def has_few_images(self) -> bool:
        """True where the threshold rests on fewer than 10 validation images of the class."""
        return self.validation_positives < FEW


def precision_recall(p: predictions.Predictions, class_index: int) -> tuple[scorer.Array, scorer.Array, scorer.Array]:
    """Every threshold that makes a difference, from the highest down, with its precision and recall.

    Images of equal probability are taken together. Recall is NaN without images of the class.

    Returns:
        Three float64 arrays of one length: as many as there are distinct probabilities.
    """
    score = p.probabilities[:, class_index].astype(np.float64)
    order = np.argsort(-score, kind="stable")
    score, truth = score[order], (p.labels == class_index)[order].astype(np.float64)
    last_of_ties = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: len(score)])
    hits = truth.cumsum()[last_of_ties]
    return (
        score[last_of_ties],
        scorer.ratio(hits, last_of_ties + 1.0),
        scorer.ratio(hits, np.full(len(last_of_ties), truth.sum())),
    )


def threshold_for(p: predictions.Predictions | None, class_index: int, precision: float) -> Threshold | None:
    """The threshold of greatest recall among those whose precision is at least `precision`; of several with that
    recall the highest, which has the best precision. None where no threshold gets there.

    Args:
        p: predictions of validation images.
        class_index: the class that is set against the rest.
        precision: in (0, 1].
    """
    if p is None or not np.any(p.labels == class_index):
        return None
    thresholds, precisions, recalls = precision_recall(p, class_index)
    enough = np.flatnonzero((precisions >= precision) & (recalls > 0))
    if not len(enough):
        return None
    best_row = enough[recalls[enough].argmax()]
    return Threshold(
        value=float(thresholds[best_row]), precision=float(precisions[best_row]), recall=float(recalls[best_row])
    )


def specificity_threshold(p: predictions.Predictions | None, class_index: int, specificity: float) -> float | None:
    """The lowest threshold below which at least a share `specificity` of the other classes' images stays; None without
    images of other classes.

    Args:
        p: predictions of validation images.
        class_index: the class that is set against the rest.
        specificity: in (0, 1).
    """
    if p is None or np.all(p.labels == class_index):
        return None
    negative = np.sort(p.probabilities[p.labels != class_index, class_index].astype(np.float64))
    # so many may be taken for the class; 0.95 of 20 is a little less than 19 to a computer
    alarms = int(np.floor((1 - specificity) * len(negative) + 1e-9))
    return float(np.nextafter(negative[len(negative) - 1 - alarms], np.inf))


def mean_curve(repetitions: Sequence[predictions.Predictions], class_index: int) -> tuple[tuple[float, float], ...]:
    """(recall, precision) at recalls of 2, 4, ... 100 %: precision at the highest threshold that finds at least that
    share of the class, mean over the repetitions that have images of it. Empty where none has."""
    recall_grid = np.arange(1, _STEPS + 1) / _STEPS
    curves = []
    for p in repetitions:
        if np.any(p.labels == class_index):
            _, precisions, recalls = precision_recall(p, class_index)
            # k / n may fall short of a wanted j / m by a rounding error
            curves.append(precisions[np.searchsorted(recalls, recall_grid - 1e-12)])
    if not curves:
        return ()
    return tuple((float(r), float(v)) for r, v in zip(recall_grid, np.mean(curves, axis=0), strict=True))


def operating_points(
    test: Sequence[predictions.Predictions],
    validation: Sequence[predictions.Predictions | None],
    *,
    precision: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, OperatingPoint]:
    """For every class: thresholds set on each repetition's validation images, and their precision and recall on its
    test images: mean over the repetitions, with an interval.

    The interval is the crossed bootstrap of `intervals.intervals`: repetitions and, within each class, images are
    drawn, an image the same number of times in every repetition that tests it, and the class gets one imaginary
    hit, miss and false alarm. Where the repetitions test different images (folds), each gets its share of those.
    The thresholds stay as they are: how much they vary shows between the repetitions.

    Args:
        test: predictions of each repetition, at least one image each.
        validation: predictions of the same repetitions on their validation images, None where there are none.
        precision: that the thresholds are set for, in (0, 1].
        confidence: level of the intervals, in (0.5, 1).
        resamples: number of resamples.
        seed: of the draws.

    Raises:
        ValueError: no repetition, one without test images, lists of different lengths, different classes, or one
            image with two labels.
    """
    labels, rows = _every_image(test, validation)
    classes = test[0].classes
    class_indices = range(len(classes))
    thresholds = [[threshold_for(p, c, precision) for c in class_indices] for p in validation]
    # above every probability: nothing is taken for the class
    values = np.array([[2.0 if t is None else t.value for t in row] for row in thresholds])
    flagged = [(p.probabilities >= v).T.astype(np.float32) for p, v in zip(test, values, strict=True)]
    truth = [(np.arange(len(classes))[:, None] == p.labels).astype(np.float32) for p in test]
    training_counts = [_counts(t, f) for t, f in zip(truth, flagged, strict=True)]
    resampled = _draws(truth, flagged, values < 2, labels, rows, resamples, np.random.default_rng(seed))
    once, positives = np.bincount(labels, minlength=len(classes)), np.zeros(len(classes), np.int64)
    if all(p is not None for p in validation):
        counts = [np.bincount(p.labels, minlength=len(classes)) for p in validation if p is not None]
        positives = np.min(counts, axis=0)
    points = {}
    for c, name in enumerate(classes):
        is_reached = any(row[c] is not None for row in thresholds)
        intervals = {
            metric: _interval([getattr(n, metric)[c] for n in training_counts], resampled[metric][c], confidence)
            for metric in ("precision", "recall")
        }
        points[name] = OperatingPoint(
            target_precision=precision,
            thresholds=tuple(row[c] for row in thresholds),
            validation_positives=int(positives[c]),
            test_positives=int(once[c]),
            precision=intervals["precision"],
            recall=intervals["recall"] if is_reached else None,
        )
    return points


def _counts(truth: scorer.Array, flagged: scorer.Array) -> scorer.Counts:
    """Of each class, (C,) float64: float32 is for the many weightings alone."""
    hits, support, taken = (a.sum(1, dtype=np.float64) for a in (truth * flagged, truth, flagged))
    return scorer.Counts(hits, support, taken)


def _every_image(
    test: Sequence[predictions.Predictions], validation: Sequence[predictions.Predictions | None]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Labels of all test images, each once, and where each repetition's images stand among them."""
    if not test or not all(len(p) for p in test) or len(test) != len(validation):
        raise ValueError("each repetition needs test images, and its validation predictions or None")
    if len({p.classes for p in (*test, *validation) if p is not None}) > 1:
        raise ValueError("the predictions are not about the same classes")
    place: dict[str, int] = {}
    for p in test:
        for name in p.ids:
            place.setdefault(name, len(place))
    rows = [np.array([place[name] for name in p.ids], np.int64) for p in test]
    labels = np.full(len(place), -1, np.int64)
    for p, row in zip(test, rows, strict=True):
        if np.any((labels[row] >= 0) & (labels[row] != p.labels)):
            raise ValueError("an image has different labels in different repetitions")
        labels[row] = p.labels
    return labels, rows


def _draws(
    truth: Sequence[scorer.Array],
    flagged: Sequence[scorer.Array],
    is_reached: scorer.Array,
    labels: NDArray[np.int64],
    rows: Sequence[NDArray[np.int64]],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, scorer.Array]:
    """Mean precision and recall of each class in each resample: name -> (C, B)."""
    n, number = len(labels), len(truth[0])
    class_indices = np.arange(number)
    once = np.bincount(labels, minlength=number).astype(np.float32)[:, None]
    parts: dict[str, list[scorer.Array]] = {"precision": [], "recall": []}
    for size in batch_sizes(n + 2 * number, resamples):
        repetition_draws = draw_repetitions(len(truth), size, rng)
        weights = draw_stratified(np.concatenate([labels, class_indices, class_indices]), size, rng)
        hits, misses = weights[n : n + number], weights[n + number :]
        alarms = rng.poisson(1.0, (number, size)).astype(np.float32)
        sums = {name: np.zeros((number, size)) for name in parts}
        weight = {name: np.zeros((number, size)) for name in parts}
        for repetition, (t, f, row) in enumerate(zip(truth, flagged, rows, strict=True)):
            image_weights = weights[row]
            share = scorer.ratio(t.sum(1, keepdims=True), once)
            share = np.nan_to_num(share, nan=0.0) * is_reached[repetition][:, None]
            counts = scorer.Counts(
                (t * f) @ image_weights + share * hits,
                t @ image_weights + share * (hits + misses),
                f @ image_weights + share * (hits + alarms),
            )
            for name in parts:
                value = getattr(counts, name)
                sums[name] += np.nan_to_num(value, nan=0.0) * repetition_draws[repetition]
                weight[name] += ~np.isnan(value) * repetition_draws[repetition]
        for name, draws in parts.items():
            draws.append(scorer.ratio(sums[name], weight[name]))
    return {name: np.concatenate(draws, axis=1) for name, draws in parts.items()}


def _interval(values: Sequence[float], resampled: scorer.Array, confidence: float) -> Interval | None:
    finite = [float(v) for v in values if not np.isnan(v)]
    return bounds(float(np.mean(finite)), resampled, confidence) if finite else None
