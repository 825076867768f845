import numpy as np
import pytest
from scipy import stats

from synaug_core.evaluate.contrast import contrast, holm, needed_repetitions, sign_flip
from synaug_core.evaluate.scorer import scores


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_auc"])
def test_difference_is_that_of_the_paired_scores(made, metric):
    ours = [made((6, 20, 30), skill=1.4, seed=s) for s in range(6)]
    theirs = [made((6, 20, 30), skill=1.0, seed=100 + s) for s in range(7)]
    interval, p, pairs = contrast(ours, theirs, metric, confidence=0.95, resamples=300, seed=0)
    paired = [scores(a)[metric] - scores(b)[metric] for a, b in zip(ours, theirs, strict=False)]
    assert pairs == 6
    assert interval.mean == pytest.approx(np.mean(paired))
    assert interval.low <= interval.mean <= interval.high
    assert p == sign_flip(paired)


def test_the_same_predictions_do_not_differ(made):
    reps = [made((6, 20), seed=s) for s in range(6)]
    interval, p, _ = contrast(reps, reps, "balanced_accuracy", confidence=0.95, resamples=100, seed=0)
    assert (interval.low, interval.mean, interval.high, p) == (0, 0, 0, 1)


def test_an_undefined_metric_is_refused(exact):
    p = exact([0, 0], [0, 1], 2)
    with pytest.raises(ValueError, match="macro_auc is undefined"):
        contrast([p], [p], "macro_auc", confidence=0.95, resamples=10, seed=0)


def test_sign_flip_is_scipys_exact_permutation_test():
    rng = np.random.default_rng(0)
    for n in (3, 6, 9):
        d = rng.normal(0.5, 1, n)
        expected = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        ).pvalue
        assert sign_flip(d) == pytest.approx(expected)


def test_sign_flip_by_hand():
    assert sign_flip([0.1] * 6) == 2 / 64
    assert sign_flip([0.1] * 5) == 2 / 32
    assert sign_flip([0.0, 0.0, 0.0]) == 1
    assert sign_flip([0.3, -0.3]) == 1
    # sums that differ by rounding alone count as equal
    assert sign_flip([0.1, 0.2, -0.3]) == 1


def test_many_pairs_are_drawn_and_never_give_0():
    d = np.full(40, 1.0)
    assert sign_flip(d, seed=1) == 1 / 65_536
    spread = np.random.default_rng(0).normal(0.3, 1, 17)
    assert sign_flip(spread, seed=3) == sign_flip(spread, seed=3)
    assert sign_flip(spread) == pytest.approx(stats.ttest_1samp(spread, 0).pvalue, abs=0.03)


@pytest.mark.parametrize(("level", "expected"), [(0.2, 6), (0.05, 6), (0.03, 7), (0.01, 8), (0.001, 11)])
def test_needed_repetitions(level, expected):
    assert needed_repetitions(level) == expected
    assert 2.0 ** (1 - expected) < level


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_is_statsmodels():
    from statsmodels.stats import multitest

    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 12):
        p = np.round(rng.uniform(0, 0.2, n), 2)  # with ties
        found = holm({str(i): float(v) for i, v in enumerate(p)})
        np.testing.assert_allclose(list(found.values()), multitest.multipletests(p, method="holm")[1])
