"""scikit-learn is the oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import RareClass, Scorer, calibration, confusion, scores
from synaug_core.names import slugs


@pytest.mark.parametrize("counts", [(40, 60), (5, 30, 65), (2, 9, 20, 31, 70), tuple(range(3, 40))])
def test_scores_are_those_of_scikit_learn(made, counts):
    p = made(counts, skill=0.8)
    s = scores(p)
    y, yy = p.labels, p.predicted
    assert s["accuracy"] == pytest.approx(oracle.accuracy_score(y, yy))
    assert s["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(y, yy))
    for average in ("macro", "weighted"):
        expected = oracle.precision_recall_fscore_support(y, yy, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert s[f"{average}_{name}"] == pytest.approx(value)
    of_class = oracle.precision_recall_fscore_support(y, yy, zero_division=np.nan)
    for c, slug in enumerate(slugs(p.classes).values()):
        for name, values in zip(("precision", "recall", "f1", "support"), of_class, strict=True):
            if np.isnan(values[c]):
                assert f"class/{slug}/{name}" not in s
            else:
                assert s[f"class/{slug}/{name}"] == pytest.approx(values[c])
    auc = (
        oracle.roc_auc_score(y, p.probabilities[:, 1])
        if len(counts) == 2
        else oracle.roc_auc_score(y, p.probabilities, multi_class="ovr", average="macro")
    )
    assert s["macro_auc"] == pytest.approx(auc)
    np.testing.assert_array_equal(confusion(p), oracle.confusion_matrix(y, yy))


RARE = RareClass(0, 0.4)


@pytest.mark.parametrize("counts", [(40, 60), (5, 30, 65), (1, 9, 20)])
@pytest.mark.parametrize("level", [False, True])
def test_figures_of_the_rarest_class_are_those_of_scikit_learn(made, counts, level):
    p = made(counts, skill=0.8)
    if level:  # few different values, hence many that are level
        rounded = np.round(p.probabilities, 1) + 0.05
        p = replace(p, probabilities=rounded / rounded.sum(1, keepdims=True))
    s, truth, score = scores(p, RARE), p.labels == 0, p.probabilities[:, 0]
    assert s["rarest_auc"] == pytest.approx(oracle.roc_auc_score(truth, score))
    assert s["rarest_average_precision"] == pytest.approx(oracle.average_precision_score(truth, score))
    assert s["rarest_recall_at_specificity"] == pytest.approx(oracle.recall_score(truth, score >= 0.4))


def test_brier_and_log_loss_are_scikit_learns(made):
    p = made((40, 60), skill=0.8)
    assert scores(p)["brier"] == pytest.approx(2 * oracle.brier_score_loss(p.labels, p.probabilities[:, 1]))
    assert scores(p)["nll"] == pytest.approx(oracle.log_loss(p.labels, p.probabilities))


def test_a_rarest_class_that_nobody_named_has_no_figures(made, exact):
    assert not any(name.startswith("rarest") for name in scores(made((4, 6))))
    assert "rarest_recall_at_specificity" not in scores(made((4, 6)), RareClass(0))
    absent = scores(exact([1, 1, 2], [1, 2, 2], 3), RARE)
    assert not any(name.startswith("rarest") for name in absent)


def test_many_classes_take_little_memory():
    """What is kept of a classifier grows with its images, not with classes times images."""
    n, classes = 3000, 400
    labels = np.arange(n) % classes
    p = Predictions(
        tuple(map(str, range(n))), labels, np.full((n, classes), 1 / classes), tuple(map(str, range(classes)))
    )
    scorer = Scorer(p)
    counts = scorer.counts(np.ones((n, 2), np.float32))
    assert scorer._sum_by_class.nnz <= 3 * n
    np.testing.assert_array_equal(counts.support[:, 0], np.bincount(labels))
    np.testing.assert_array_equal(counts.predicted[:, 1], np.bincount(p.predicted, minlength=classes))
    np.testing.assert_array_equal(counts.hits[:, 0], np.bincount(labels[labels == p.predicted], minlength=classes))


def test_names_are_the_agreed_ones(made):
    p = replace(made((4, 6), skill=3), classes=("Ab c", "Ab-c"))
    averages = {f"{a}_{m}" for a in ("macro", "weighted") for m in ("precision", "recall", "f1")}
    classes = {f"class/{c}/{m}" for c in ("Ab-c", "Ab-c-b074ee0a") for m in ("precision", "recall", "f1", "support")}
    assert set(scores(p)) == {"accuracy", "balanced_accuracy", "macro_auc", "ece", "brier", "nll"} | averages | classes


def test_a_class_without_images_is_left_out_and_costs_nothing(exact):
    p = exact([0, 0, 1, 1], [0, 1, 1, 2], 3)
    s = scores(p)
    assert not any(name.startswith("class/class-c/") for name in s)
    assert s["balanced_accuracy"] == 0.5
    assert s["macro_f1"] == pytest.approx((2 / 3 + 0.5) / 2)


def test_precision_of_a_class_never_predicted_is_undefined_but_counts_0_in_the_average(exact):
    s = scores(exact([0, 0, 1], [0, 0, 0], 2))
    assert "class/class-b/precision" not in s
    assert s["class/class-b/recall"] == s["class/class-b/f1"] == 0
    assert s["macro_precision"] == pytest.approx(1 / 3)


def test_one_class_has_no_auc(exact):
    s = scores(exact([1, 1, 1], [1, 1, 0], 2))
    assert "macro_auc" not in s
    assert s["balanced_accuracy"] == pytest.approx(2 / 3)


def test_no_images_no_scores():
    assert scores(Predictions((), np.zeros(0, np.int64), np.zeros((0, 2)), ("a", "b"))) == {}


def test_calibration_error_by_hand():
    # confidences 0.6 (right), 0.6 (wrong) and 0.95 (right): bins (8/15, 9/15] and (14/15, 1]
    p = Predictions(("a", "b", "c"), np.array([0, 1, 0]), np.array([[0.6, 0.4], [0.6, 0.4], [0.95, 0.05]]), ("x", "y"))
    assert scores(p)["ece"] == pytest.approx((2 * abs(0.6 - 0.5) + 1 * abs(0.95 - 1)) / 3)
    images, confidence, correct = calibration(p)
    assert images[8] == 2
    assert confidence[8] == pytest.approx(1.2)
    assert (correct[8], correct[14], images.sum()) == (1, 1, 3)


def test_a_sure_and_right_classifier_is_calibrated():
    p = Predictions(("a", "b"), np.array([0, 1]), np.eye(2), ("x", "y"))
    assert scores(p)["ece"] == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_both_ways_to_the_auc_agree_with_ties_and_weights(classes, n, seed):
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 4, (n, classes)).astype(float)  # few values, hence many ties
    p = Predictions(
        tuple(map(str, range(n))),
        rng.integers(0, classes, n),
        raw / raw.sum(1, keepdims=True),
        tuple(map(str, range(classes))),
    )
    scorer = Scorer(p)
    weights = rng.integers(1, 4, (n, 3)).astype(np.float64)
    if scorer.present.sum() < 2:
        assert np.isnan(scorer.macro_auc(weights)).all()
        return
    np.testing.assert_allclose(scorer._won_by_pairs(weights), scorer._won_by_ranks(weights))
    repeated = p.in_order(p.ids)
    for b in range(3):
        rows = np.repeat(np.arange(n), weights[:, b].astype(int))
        expected = np.mean(
            [
                oracle.roc_auc_score(repeated.labels[rows] == c, repeated.probabilities[rows, c])
                for c in np.flatnonzero(scorer.present)
            ]
        )
        assert scorer.macro_auc(weights)[b] == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_weight_is_a_repeated_image(seed):
    rng = np.random.default_rng(seed)
    n, classes = 30, 3
    raw = rng.random((n, classes))
    p = Predictions(
        tuple(map(str, range(n))),
        np.arange(n) % classes,
        raw / raw.sum(1, keepdims=True),
        ("a", "b", "c"),
    )
    weights = rng.integers(1, 4, (n, 1))
    rows = np.repeat(np.arange(n), weights[:, 0])
    again = Predictions(tuple(map(str, range(len(rows)))), p.labels[rows], p.probabilities[rows], p.classes)
    scorer, w = Scorer(p, RARE), weights.astype(np.float64)
    expected = scores(again, RARE)
    for name, value in scorer.averages(scorer.counts(w)).items():
        assert value[0] == pytest.approx(expected[name])
    assert scorer.ece(w)[0] == pytest.approx(expected["ece"])
    for name in ("macro_auc", "rarest_auc", "rarest_average_precision", "rarest_recall_at_specificity", "brier", "nll"):
        assert getattr(scorer, name)(w)[0] == pytest.approx(expected[name])
