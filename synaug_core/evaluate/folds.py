"""k-fold cross-validation: every fold has other test images, and the trainings share most of their images."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from synaug_core.evaluate import contrast, predictions, proportions, scorer, variance
from synaug_core.evaluate.intervals import Interval, check_same_images
from synaug_core.metrics import METRICS
from synaug_core.names import slugs

__all__ = ["check_folds", "corrected_t", "fold_contrast", "fold_intervals", "overlap"]


def check_folds(arms: Mapping[str, Sequence[predictions.Predictions]], folds: int) -> None:
    """Refuse what is no k-fold design: predictions in the order index = repetition * folds + fold.

    Raises:
        ValueError: fewer than two folds, repetitions that are not whole, an image that stands in two folds of one
            repetition or in none, labels that change, or arms with different test images at the same index.
    """
    if folds < 2:
        raise ValueError(f"folds: at least 2 expected, got {folds}")
    if len({p.classes for trainings in arms.values() for p in trainings}) > 1:
        raise ValueError("the trainings are not about the same classes")
    expected_labels: dict[str, int] | None = None
    for arm, trainings in arms.items():
        if not trainings or len(trainings) % folds:
            raise ValueError(f"arm {arm}: {len(trainings)} trainings are not whole repetitions of {folds} folds")
        for start in range(0, len(trainings), folds):
            labels = _labels_of(trainings[start : start + folds], f"arm {arm}, repetition {start // folds}")
            if expected_labels is not None and labels != expected_labels:
                raise ValueError(f"arm {arm}, repetition {start // folds}: its folds are about other images or labels")
            expected_labels = labels
    repetitions = max(len(trainings) for trainings in arms.values())
    for i in range(repetitions):
        predictions_by_arm = {arm: trainings[i] for arm, trainings in arms.items() if i < len(trainings)}
        try:
            check_same_images(list(predictions_by_arm.values()))
        except ValueError as error:
            place = f"repetition {i // folds}, fold {i % folds}"
            raise ValueError(f"{place}: the arms need the same test images in the same order ({error})") from error


def overlap(folds: int) -> float:
    """Test images of a fold for each image of the others, 1 / (k - 1): n_test / n_train of the corrected variance.

    What the other folds hold is divided into training and validation images, and the classifier learns from both.
    """
    return 1 / (folds - 1)


def corrected_t(values: ArrayLike, ratio: float, confidence: float) -> tuple[Interval, float]:
    """Mean of J dependent results, its interval and the two-sided p-value against 0, by the corrected resampled t
    test (Nadeau and Bengio, Machine Learning 52, 2003): t = mean / sqrt((1/J + n_test/n_train) s^2), J - 1 degrees
    of freedom.

    The plain t test takes the trainings for independent, though they share most of their images, and finds effects
    far too often. With a ratio of 0 it is the plain test.

    Args:
        values: J results, not NaN.
        ratio: n_test / n_train, 0 or more.
        confidence: level of the interval.

    Returns:
        The interval, not bounded by any metric's range, and the p-value. A single result says nothing of its
        spread: all finite numbers, and 1.

    Raises:
        ValueError: no result.
    """
    results = np.asarray(values, np.float64)
    n = len(results)
    if not n:
        raise ValueError("at least one result is needed")
    mean = float(results.mean())
    if n == 1:
        most = float(np.finfo(np.float64).max)
        return Interval(mean=mean, low=-most, high=most), 1.0
    spread = variance.Spread(training=float(results.var(ddof=1)), crossed=0.0, shared=0.0, ratio=ratio)
    return variance.t_test(mean, spread, n, confidence)


def fold_intervals(
    reps: Sequence[predictions.Predictions],
    *,
    folds: int,
    confidence: float,
    rare: Sequence[scorer.RareClass] | None = None,
) -> dict[str, Interval]:
    """Mean over all trainings of every metric of `scores`, with its interval by the corrected resampled t.

    A metric that only some folds define is the mean over those. Bounds end at the metric's own. The figures of a class
    are never surer than so many different images allow: the interval covers Wilson's score interval too, or a class of
    two images, found in both folds, would be certain. `support` counts each image once.

    Args:
        reps: predictions in the order repetition * folds + fold, checked by `check_folds`.
        folds: number of folds.
        confidence: level of the intervals.
        rare: of each training, the rarest class; None: no figures of it.
    """
    single = [scorer.scores(s.p, s.rare) for s in scorer.scorers_of(reps, rare)]
    names = list(dict.fromkeys(name for s in single for name in s))
    intervals = {
        name: _within(
            corrected_t([s[name] for s in single if name in s], overlap(folds), confidence)[0],
            *(METRICS[name].bounds if name in METRICS else (0.0, 1.0)),
        )
        for name in names
        if not name.endswith("/support")
    }
    confusion = np.sum([scorer.confusion(p) for p in reps], axis=0) * (folds / len(reps))
    support, predicted = confusion.sum(1), confusion.sum(0)
    for c, name in enumerate(slugs(reps[0].classes).values()):
        images = {"recall": support[c], "precision": predicted[c], "f1": (support[c] + predicted[c]) / 2}
        for metric, n in images.items():
            if (key := f"class/{name}/{metric}") in intervals:
                intervals[key] = proportions.at_least_wilson(intervals[key], float(n), confidence)
        if (key := f"class/{name}/support") in names:
            count = float(round(support[c]))
            intervals[key] = Interval(mean=count, low=count, high=count)
    return {name: intervals[name] for name in names}


def fold_contrast(
    arm: variance.Measured, control: variance.Measured, metric: str, *, folds: int, confidence: float
) -> contrast.Tested:
    """Mean paired difference (arm - control) over the folds, its p-value by the corrected t test, number of pairs.

    Folds that do not define the metric are left aside.

    Args:
        arm: the metric of one method's trainings, in the order repetition * folds + fold.
        control: that of the other's, with the same images at each index.
        metric: its name.
        folds: number of folds.
        confidence: level of the interval.

    Raises:
        ValueError: no fold defines the metric.
    """
    differences = arm.minus(control).defined().values
    if not len(differences):
        raise ValueError(f"{metric} is undefined on these test images")
    interval, p = corrected_t(differences, overlap(folds), confidence)
    return contrast.within(interval, metric), p, len(differences)


def _labels_of(parts: Sequence[predictions.Predictions], place: str) -> dict[str, int]:
    labels: dict[str, int] = {}
    for fold, p in enumerate(parts):
        if not len(p):
            raise ValueError(f"{place}, fold {fold}: no test images")
        fold_labels = dict(zip(p.ids, p.labels.tolist(), strict=True))
        if twice := next((name for name in p.ids if name in labels), None):
            raise ValueError(f"{place}: image {twice} is a test image of two folds")
        labels |= fold_labels
    return labels


def _within(interval: Interval, minimum: float, maximum: float) -> Interval:
    return Interval(mean=interval.mean, low=max(interval.low, minimum), high=min(interval.high, maximum))
