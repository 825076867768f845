"""Parts of the variance, and the t test on them."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from synaug_core.evaluate.intervals import draw_stratified
from synaug_core.evaluate.scorer import ENDPOINTS, RareClass, Scorer
from synaug_core.evaluate.variance import Measured, Spread, measure, measure_shares, t_test

PAIR = ("ours", "theirs")
RARE = RareClass(0, 0.4)


def _difference(found, metric="balanced_accuracy"):
    return measure(found["ours"], metric).minus(measure(found["theirs"], metric))


@pytest.mark.parametrize("metric", list(ENDPOINTS))
@pytest.mark.parametrize("counts", [(7, 30), (4, 9, 25), (3, 5, 8, 13)])
def test_influence_is_the_derivative_by_an_images_weight(made, metric, counts):
    """n_c times, but for a constant in each class."""
    p = made(counts, skill=0.9)
    n, step = len(p), 1e-5
    up, down = (np.ones((n, n)) + np.eye(n) * s for s in (step, -step))
    scorer = Scorer(p, RARE)
    derivative = (ENDPOINTS[metric](scorer, up) - ENDPOINTS[metric](scorer, down)) / (2 * step)
    derivative *= np.bincount(p.labels)[p.labels]
    influence = scorer.influence(metric)
    for c in range(len(counts)):
        rows = p.labels == c
        centred = [x[rows] - x[rows].mean() for x in (influence, derivative)]
        np.testing.assert_allclose(*centred, atol=1e-6)


@pytest.mark.parametrize("metric", list(ENDPOINTS))
def test_the_image_part_is_what_a_bootstrap_over_the_images_finds(made, metric):
    p = made((30, 60, 90), skill=0.9)
    weights = draw_stratified(p.labels, 4000, np.random.default_rng(0), fewer=1)
    resampled = ENDPOINTS[metric](Scorer(p, RARE), weights)
    found = measure([p], metric, [RARE])
    centred = Measured(found.values, (_centred(found.influences[0], p.labels),), found.labels)
    assert centred.spread().shared == pytest.approx(resampled.var(), rel=0.08)


def _centred(influence, labels):
    means = np.bincount(labels, influence) / np.bincount(labels)
    return influence - means[labels]


def test_two_readings_of_one_case_are_delongs(made):
    """Two AUCs on one test set: DeLong's z from the structural components, written out."""
    a, b = made((20, 40), skill=1.5, seed=1), made((20, 40), skill=1.0, seed=2)
    components = []
    for p in (a, b):
        score = p.probabilities[:, 1]
        beats = (score[20:, None] > score[:20]) + 0.5 * (score[20:, None] == score[:20])
        components.append((beats.mean(1), beats.mean(0)))
    (pos_a, neg_a), (pos_b, neg_b) = components
    expected = np.var(pos_a - pos_b, ddof=1) / 40 + np.var(neg_a - neg_b, ddof=1) / 20
    difference = _difference({"ours": [a], "theirs": [b]}, "macro_auc")
    centred = Measured(difference.values, (_centred(difference.influences[0], a.labels),), difference.labels)
    assert centred.spread().shared == pytest.approx(expected)


def test_off_the_diagonal_is_shared_and_the_rest_crossed(crossed):
    """Obuchowski and Rockette's parts, from the covariance matrix of the trainings."""
    difference = _difference(crossed(np.random.default_rng(3), PAIR, 5, counts=(200, 300)))
    labels, covariance = difference.labels[0], np.zeros((5, 5))
    for c in (0, 1):
        covariance += np.cov(np.stack(difference.influences)[:, labels == c]) / (labels == c).sum()
    spread = difference.spread()
    off = covariance[~np.eye(5, dtype=bool)].mean()
    assert spread.shared == pytest.approx(off, rel=0.01)
    assert spread.crossed == pytest.approx(covariance.diagonal().mean() - off, rel=0.01)
    assert spread.training + spread.crossed == pytest.approx(max(difference.values.var(ddof=1), spread.crossed))


def test_hillis_degrees_of_freedom():
    """With an image part that is known: (J - 1) (V / sampled part)^2."""
    spread = Spread(training=0.0006, crossed=0.0002, shared=0.0003)
    variance, df = spread.variance(6)
    assert variance == pytest.approx(0.0008 / 6 + 0.0003)
    assert df == pytest.approx(5 * (variance / (0.0008 / 6)) ** 2)
    few = Spread(training=0.0006, crossed=0.0002, shared=0.0003, image_df=9)
    assert 5 < few.variance(6)[1] < df
    assert Spread(training=0, crossed=0, shared=0.0003, image_df=9).variance(6) == (0.0003, pytest.approx(9))


def test_without_an_image_part_it_is_the_paired_t_test():
    d = np.random.default_rng(0).normal(0.01, 0.02, 8)
    found = t_test(d.mean(), Spread(training=d.var(ddof=1), crossed=0, shared=0), 8, 0.9)
    expected = stats.ttest_1samp(d, 0)
    low, high = expected.confidence_interval(0.9)
    assert found[1] == pytest.approx(expected.pvalue)
    assert (found[0].low, found[0].high) == (pytest.approx(low), pytest.approx(high))


def test_one_training_varies_with_its_images_alone(made):
    difference = _difference({"ours": [made((10, 30), skill=2.0, seed=1)], "theirs": [made((10, 30), seed=2)]})
    spread = difference.spread()
    assert (spread.training, spread.crossed) == (0, 0)
    assert spread.shared > 0
    interval, p = t_test(difference.values[0], spread, 1, 0.95)
    assert (interval.low > 0) == (p < 0.05)


def test_trainings_that_agree_are_no_surer_than_their_images(made):
    """Twice the same training: the values do not vary, the test images still do."""
    a, b = made((10, 30), skill=1.5, seed=1), made((10, 30), seed=2)
    once, often = _difference({"ours": [a], "theirs": [b]}), _difference({"ours": [a] * 6, "theirs": [b] * 6})
    assert often.spread().variance(6)[0] == pytest.approx(once.spread().variance(1)[0])


def test_few_images_that_all_speak_for_one_arm_are_no_certainty(exact):
    found = {"ours": [exact([0, 1] * 3, [0, 1] * 3, 2)] * 6, "theirs": [exact([0, 1] * 3, [1, 0] * 3, 2)] * 6}
    few = t_test(1.0, _difference(found).spread(), 6, 0.95)
    assert 0 < few[1] < 0.2
    many = {"ours": [exact([0, 1] * 30, [0, 1] * 30, 2)] * 6, "theirs": [exact([0, 1] * 30, [1, 0] * 30, 2)] * 6}
    p_values = [few[1], t_test(1.0, _difference(many).spread(), 6, 0.95)[1]]
    assert all(a > b for a, b in pairwise(p_values))


def test_shares_of_right_answers_make_a_balanced_accuracy(made):
    reps = [made((6, 20, 30), seed=s) for s in range(4)]
    shares = measure_shares(reps[0].labels, [p.predicted == p.labels for p in reps])
    expected = measure(reps, "balanced_accuracy")
    np.testing.assert_allclose(shares.values, expected.values)
    assert shares.spread() == expected.spread()
    halves = measure_shares(np.array([0, 0, 2]), [np.array([1.0, 0.5, 0.25])])
    assert halves.values == pytest.approx([0.5])


def test_nothing_to_measure_is_refused(exact):
    undefined = measure([exact([0, 0], [0, 1], 2)] * 2, "macro_auc")
    with pytest.raises(ValueError, match="all defined"):
        undefined.spread()
    with pytest.raises(ValueError, match="at least two"):
        undefined.defined().fold_spread(0.25)
    assert len(undefined.defined().values) == 0
