"""Thresholds come from validation, figures from the test; scikit-learn's curve is the oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, precision_score, recall_score, roc_curve

from synaug_core.evaluate.operating import (
    OperatingPoint,
    mean_curve,
    operating_points,
    precision_recall,
    specificity_threshold,
    threshold_for,
)
from synaug_core.evaluate.predictions import Predictions

DRAWS = {"precision": 0.8, "confidence": 0.95, "resamples": 300, "seed": 5}


def binary(scores, truth, prefix="i"):
    """Class 1 has these probabilities."""
    s = np.asarray(scores, np.float64)
    ids = tuple(f"{prefix}{i}" for i in range(len(s)))
    return Predictions(ids, np.asarray(truth, np.int64), np.stack([1 - s, s], 1), ("rest", "rare"))


@st.composite
def tied(draw):
    n = draw(st.integers(2, 40))
    scores = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))  # few values, hence many ties
    truth = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return binary(np.array(scores) / 8, truth)


@settings(max_examples=80, deadline=None)
@given(tied())
def test_the_curve_is_scikit_learns(p):
    if not p.labels.any():
        assert np.isnan(precision_recall(p, 1)[2]).all()
        return
    thresholds, precision, recall = precision_recall(p, 1)
    expected = precision_recall_curve(p.labels, p.probabilities[:, 1])
    np.testing.assert_array_equal(thresholds, expected[2][::-1])
    np.testing.assert_allclose(precision, expected[0][-2::-1])
    np.testing.assert_allclose(recall, expected[1][-2::-1])


@settings(max_examples=80, deadline=None)
@given(tied(), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_no_threshold_that_reaches_the_precision_finds_more(p, wanted):
    t = threshold_for(p, 1, wanted)
    score = p.probabilities[:, 1]
    reaching = {}
    for value in np.unique(score):
        flagged = score >= value
        if p.labels[flagged].any() and precision_score(p.labels, flagged) >= wanted:
            reaching[value] = recall_score(p.labels, flagged)
    if t is None:
        assert not reaching
        return
    assert t.recall == pytest.approx(max(reaching.values()))
    assert t.value == max(v for v, recall in reaching.items() if recall == max(reaching.values()))
    assert t.precision == pytest.approx(precision_score(p.labels, score >= t.value))
    assert t.precision >= wanted


def test_thresholds_by_hand():
    p = binary([0.9, 0.8, 0.7, 0.7, 0.6, 0.1], [1, 1, 0, 1, 1, 0])
    assert threshold_for(p, 1, 1.0).value == 0.8
    exact = threshold_for(p, 1, 0.8)  # 4 of 5 is 80 %: enough
    assert (exact.value, exact.precision, exact.recall) == (0.6, 0.8, 1.0)
    assert threshold_for(p, 1, 0.81).value == 0.8  # the two of 0.7 come together: 3 of 4


def test_what_cannot_be_reached_is_none():
    assert threshold_for(binary([0.9, 0.1], [0, 1]), 1, 0.8) is None
    assert threshold_for(binary([0.9, 0.1], [0, 0]), 1, 0.8) is None
    assert threshold_for(None, 1, 0.8) is None


def test_float32_probabilities_meet_their_own_threshold(made):
    p = made((30, 30))
    p = replace(p, probabilities=p.probabilities.astype(np.float32))
    t = threshold_for(p, 1, 0.8)
    (point,) = [operating_points([p], [p], **DRAWS)[p.classes[1]]]
    assert point.recall.mean == pytest.approx(t.recall)
    assert point.precision.mean == pytest.approx(t.precision)


def test_the_test_images_have_no_part_in_the_threshold(made):
    val = [made((30, 20, 8), seed=s) for s in range(3)]
    one = operating_points([made((20, 20, 20), seed=7)] * 3, val, **DRAWS)
    other = operating_points([made((9, 9, 9), seed=8)] * 3, val, **DRAWS)
    for c in one:
        assert one[c].thresholds == other[c].thresholds
        assert one[c].validation_positives == other[c].validation_positives
    assert [one[c].has_few_images for c in one] == [False, False, True]


def test_figures_are_those_of_the_test_images_at_the_threshold(made):
    test, val = [made((30, 20, 12), seed=s) for s in range(3)], [made((30, 30, 30), seed=s) for s in (4, 5, 6)]
    found = operating_points(test, val, **DRAWS)
    for c, point in enumerate(found.values()):
        flagged = [t.probabilities[:, c] >= point.thresholds[i].value for i, t in enumerate(test)]
        truth = test[0].labels == c
        assert point.recall.mean == pytest.approx(np.mean([recall_score(truth, f) for f in flagged]))
        assert point.precision.mean == pytest.approx(np.mean([precision_score(truth, f) for f in flagged]))
        assert point.recall.low < point.recall.mean < point.recall.high
        assert (point.reached_count, point.test_positives, point.target_precision) == (3, (30, 20, 12)[c], 0.8)


def test_a_repetition_that_never_reaches_it_finds_nothing():
    good, bad = binary([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]), binary([0.1, 0.2, 0.9, 0.8], [1, 1, 0, 0])
    point = operating_points([good, good], [good, bad], **DRAWS)["rare"]
    assert point.thresholds[1] is None
    assert point.reached_count == 1
    assert point.recall.mean == 0.5
    assert point.recall.low == 0
    assert point.precision.mean == 1
    none = operating_points([good, good], [bad, None], **DRAWS)["rare"]
    assert (none.precision, none.recall, none.reached_count, none.validation_positives) == (None, None, 0, 0)


def test_a_class_without_test_images_has_no_recall():
    val, test = binary([0.9, 0.1], [1, 0]), binary([0.95, 0.1], [0, 0])
    point = operating_points([test], [val], **DRAWS)["rare"]
    assert point.recall is None
    assert point.precision.mean == 0
    silent = operating_points([binary([0.2, 0.1], [1, 0])], [val], **DRAWS)["rare"]
    assert silent.precision is None
    assert silent.recall.mean == 0


def test_few_images_widen_the_interval(made):
    """Two images, both found, are no proof of 100 %."""
    sure = {n: binary([0.9] * n + [0.1] * n, [1] * n + [0] * n) for n in (2, 200)}
    few, many = (operating_points([p] * 3, [p] * 3, **DRAWS)["rare"].recall for p in sure.values())
    assert few.mean == many.mean == 1
    assert few.low < 0.7
    assert many.low > 0.97


def test_folds_are_one_bootstrap_of_all_images(made):
    """The images of a set, each tested in one of five folds: about the interval of testing all at once."""
    p = made((60, 60, 60), skill=1.5)
    rows = np.arange(len(p)) % 5
    folds = [p.in_order(tuple(np.array(p.ids)[rows == k])) for k in range(5)]
    draws = DRAWS | {"resamples": 1500}
    whole = operating_points([p], [p], **draws)
    parts = operating_points(folds, [p] * 5, **draws)
    for c in p.classes:
        assert parts[c].test_positives == whole[c].test_positives == 60
        assert parts[c].recall.mean == pytest.approx(whole[c].recall.mean)
        widths = [point[c].recall.high - point[c].recall.low for point in (whole, parts)]
        assert 0.8 < widths[1] / widths[0] < 1.9  # folds are drawn too


def test_a_fold_without_the_class_is_left_aside(made):
    p = made((10, 6))
    folds = [p.in_order(p.ids[:10]), p.in_order(p.ids[10:])]
    point = operating_points(folds, [p, p], **DRAWS)[p.classes[1]]
    whole = operating_points([p.in_order(p.ids[10:])], [p], **DRAWS)[p.classes[1]]
    assert point.recall.mean == whole.recall.mean


def test_the_mean_curve(made):
    reps = [made((30, 20, 12), seed=s) for s in range(3)]
    curve = np.array(mean_curve(reps, 2))
    np.testing.assert_allclose(curve[:, 0], np.arange(1, 51) / 50)
    precision, recall = np.zeros(50), np.arange(1, 51) / 50
    for p in reps:
        value, found, _ = precision_recall_curve(p.labels == 2, p.probabilities[:, 2])
        precision += [value[np.flatnonzero(found >= r - 1e-12)[-1]] for r in recall]
    np.testing.assert_allclose(curve[:, 1], precision / 3)
    assert mean_curve([p.in_order(p.ids[:30]) for p in reps], 2) == ()


def test_json_and_equal_seeds(made):
    args = [made((9, 9), seed=1)] * 2, [made((9, 9), seed=2)] * 2
    one, again = operating_points(*args, **DRAWS), operating_points(*args, **DRAWS)
    assert one == again
    for point in one.values():
        assert OperatingPoint.model_validate_json(point.model_dump_json()) == point


@pytest.mark.parametrize(
    ("test", "validation", "message"),
    [
        ([], [], "test images"),
        ([binary([0.5], [1])], [], "None"),
        ([binary([], [])], [None], "test images"),
        ([binary([0.5], [1])], [replace(binary([0.5], [1]), classes=("a", "b"))], "classes"),
        ([binary([0.5], [1]), binary([0.5], [0])], [None, None], "labels"),
    ],
)
def test_what_does_not_agree_is_refused(test, validation, message):
    with pytest.raises(ValueError, match=message):
        operating_points(test, validation, **DRAWS)


@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.95, 0.99])
def test_a_threshold_for_a_specificity_is_the_lowest_that_reaches_it(made, specificity):
    p = made((10, 20, 17), skill=1.0)
    value = specificity_threshold(p, 0, specificity)
    rates, _, thresholds = roc_curve(p.labels == 0, p.probabilities[:, 0], drop_intermediate=False)
    reaching = thresholds[1 - rates >= specificity - 1e-9]
    assert (p.probabilities[p.labels != 0, 0] < value).mean() >= specificity
    assert max(thresholds[thresholds < value], default=0) < value <= reaching.min()
    assert set(thresholds[thresholds >= value]) == set(reaching)


def test_a_specificity_that_the_images_cannot_set(exact, made):
    assert specificity_threshold(None, 0, 0.95) is None
    assert specificity_threshold(exact([1, 1], [0, 1], 2), 1, 0.95) is None
    level = exact([0, 1, 1, 1], [0, 1, 1, 1], 2)
    assert 0.1 < specificity_threshold(level, 0, 0.95) < 0.1 + 1e-9
