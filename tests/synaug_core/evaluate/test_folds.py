from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from synaug_core.evaluate.folds import check_folds, corrected_t, fold_contrast, fold_intervals, overlap
from synaug_core.evaluate.intervals import Interval
from synaug_core.evaluate.scorer import scores
from synaug_core.evaluate.variance import measure
from synaug_core.metrics import METRICS

VALUES = np.random.default_rng(3).normal(0.3, 1, 12)


def _part(p, rows):
    rows = np.asarray(rows, np.int64)
    return replace(p, ids=tuple(p.ids[i] for i in rows), labels=p.labels[rows], probabilities=p.probabilities[rows])


def _folded(p, folds):
    """Every k-th image of each class in a fold."""
    place = np.argsort(np.argsort(p.labels, kind="stable"))
    return [_part(p, np.flatnonzero(place % folds == f)) for f in range(folds)]


def _contrast(ours, theirs, metric, folds, confidence=0.95):
    pair = measure(ours, metric), measure(theirs, metric)
    return fold_contrast(*pair, metric, folds=folds, confidence=confidence)


def test_without_shared_images_it_is_the_t_test():
    interval, p = corrected_t(VALUES, 0.0, 0.95)
    expected = stats.ttest_1samp(VALUES, 0)
    low, high = expected.confidence_interval(0.95)
    assert p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_the_correction_by_hand():
    """Nadeau and Bengio's statistic for 10 times 10 folds, J = 100 and n_test / n_train = 1/9."""
    values = np.random.default_rng(0).normal(0.02, 0.05, 100)
    t = values.mean() / np.sqrt((1 / 100 + 1 / 9) * values.var(ddof=1))
    assert overlap(10) == pytest.approx(1 / 9)
    assert corrected_t(values, overlap(10), 0.95)[1] == pytest.approx(2 * stats.t.sf(abs(t), 99))


@pytest.mark.parametrize("level", [0.5, 0.2, 0.05, 0.01])
def test_interval_and_test_agree(level):
    interval, p = corrected_t(VALUES, 0.25, 1 - level)
    assert (interval.low > 0 or interval.high < 0) == (p < level)


def test_results_without_spread():
    assert corrected_t([0.0] * 5, 0.25, 0.95) == (Interval(mean=0, low=0, high=0), 1.0)
    assert corrected_t([0.5] * 8, 0.25, 0.95) == (Interval(mean=0.5, low=0.5, high=0.5), 0.0)
    interval, p = corrected_t([0.5], 0.25, 0.95)
    assert interval.low < -1e100
    assert p == 1
    with pytest.raises(ValueError, match="at least one result"):
        corrected_t([], 0.25, 0.95)


def test_intervals_are_about_the_mean_over_all_trainings(made):
    reps = [fold for s in range(3) for fold in _folded(made((10, 25, 40), seed=s), 5)]
    found = fold_intervals(reps, folds=5, confidence=0.95)
    single = [scores(p) for p in reps]
    for name, interval in found.items():
        if name.endswith("support"):
            continue
        assert interval.mean == pytest.approx(np.mean([s[name] for s in single if name in s]))
        low, high = METRICS[name].bounds if name in METRICS else (0, 1)
        assert low <= interval.low <= interval.mean <= interval.high <= high
    values = [s["balanced_accuracy"] for s in single]
    assert found["balanced_accuracy"] == corrected_t(values, 0.25, 0.95)[0]
    assert found["class/class-a/support"] == Interval(mean=10, low=10, high=10)


def test_a_class_that_some_folds_lack(exact):
    """Three images of the first class in five folds: two folds say nothing of it."""
    p = exact([0, 0, 0] + [1] * 17, [0, 1, 0] + [1] * 17, 2)
    reps = [_part(p, np.arange(f, 20, 5)) for f in range(5)]
    found = fold_intervals(reps, folds=5, confidence=0.95)
    assert found["class/class-a/recall"].mean == pytest.approx(2 / 3)
    assert found["class/class-a/support"].mean == 3
    assert _contrast(reps, reps, "macro_auc", 5)[2] == 3


def test_two_images_found_twice_are_no_certainty(exact):
    reps = _folded(exact([0] * 2 + [1] * 50, [0] * 2 + [1] * 50, 2), 2)
    found = fold_intervals(reps, folds=2, confidence=0.95)
    rare, common = found["class/class-a/recall"], found["class/class-b/recall"]
    expected = [stats.binomtest(n, n).proportion_ci(method="wilson").low for n in (2, 50)]
    assert [rare.low, common.low] == pytest.approx(expected)
    assert rare.mean == rare.high == 1


def test_contrast_is_that_of_the_paired_folds(made):
    ours = [fold for s in range(2) for fold in _folded(made((10, 25, 40), seed=s, skill=1.6), 5)]
    theirs = [fold for s in range(2) for fold in _folded(made((10, 25, 40), seed=50 + s), 5)]
    for metric in ("balanced_accuracy", "macro_auc"):
        d = [scores(a)[metric] - scores(b)[metric] for a, b in zip(ours, theirs, strict=True)]
        interval, p, pairs = _contrast(ours, theirs, metric, 5)
        assert (interval, p) == corrected_t(d, 0.25, 0.95)
        assert pairs == 10


def test_differences_end_at_1(exact):
    right, wrong = exact([0, 1] * 4, [0, 1] * 4, 2), exact([0, 1] * 4, [1, 0, 0, 1] * 2, 2)
    interval, _, _ = _contrast(_folded(right, 2), _folded(wrong, 2), "macro_auc", 2, 0.99)
    assert interval.high <= 1


def test_an_undefined_metric_is_refused(exact):
    reps = _folded(exact([0] * 4, [0, 1, 0, 0], 2), 2)
    with pytest.raises(ValueError, match="macro_auc is undefined"):
        _contrast(reps, reps, "macro_auc", 2)


def test_what_is_no_cross_validation_is_refused(made):
    p = made((6, 9))
    folds = _folded(p, 3)
    check_folds({"a": folds * 2, "b": folds}, 3)
    other = [_part(f, np.arange(len(f.ids))[::-1]) for f in folds]
    relabelled = [replace(f, labels=1 - f.labels) for f in folds]
    for arms, k, said in (
        ({"a": folds}, 1, "at least 2"),
        ({"a": folds}, 2, "arm a: 3 trainings are not whole repetitions of 2 folds"),
        ({"a": []}, 3, "arm a: 0 trainings"),
        ({"a": [folds[0]] * 3}, 3, "arm a, repetition 0: image image0 is a test image of two folds"),
        ({"a": [*folds, *folds[:2], _part(folds[2], [0, 1])]}, 3, "arm a, repetition 1: its folds are about other"),
        ({"a": folds, "b": relabelled}, 3, "arm b, repetition 0: .* other images or labels"),
        ({"a": folds, "b": [folds[1], folds[0], folds[2]]}, 3, "repetition 0, fold 0: the arms need the same"),
        ({"a": folds, "b": other}, 3, "repetition 0, fold 0: the arms need the same test images in the same order"),
        ({"a": [*folds[:2], _part(folds[2], [])]}, 3, "fold 2: no test images"),
        ({"a": folds, "b": [replace(f, classes=("x", "y")) for f in folds]}, 3, "same classes"),
    ):
        with pytest.raises(ValueError, match=said):
            check_folds(arms, k)
