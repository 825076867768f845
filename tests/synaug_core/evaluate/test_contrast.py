import numpy as np
import pytest

from synaug_core.evaluate.contrast import Contrast, contrast, hardest, holm
from synaug_core.evaluate.intervals import Interval
from synaug_core.evaluate.scorer import ENDPOINTS, RareClass, scores
from synaug_core.evaluate.variance import measure

RARE = RareClass(0, 0.4)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_auc"])
def test_difference_is_that_of_the_paired_scores(made, metric):
    ours = [made((6, 20, 30), skill=1.4, seed=s) for s in range(6)]
    theirs = [made((6, 20, 30), skill=1.0, seed=100 + s) for s in range(7)]
    interval, p, pairs = contrast(measure(ours, metric), measure(theirs, metric), metric, 0.95)
    paired = [scores(a)[metric] - scores(b)[metric] for a, b in zip(ours, theirs, strict=False)]
    assert pairs == 6
    assert interval.mean == pytest.approx(np.mean(paired))
    assert interval.low <= interval.mean <= interval.high
    assert 0 < p < 1


@pytest.mark.parametrize("metric", list(ENDPOINTS))
def test_interval_and_test_agree(made, metric):
    """Zero lies on the edge of the interval whose level is the p-value."""
    ours, theirs = ([made((6, 20, 30), skill=k, seed=10 * i + s) for s in range(6)] for i, k in enumerate((1.3, 1.0)))
    pair = measure(ours, metric, [RARE] * 6), measure(theirs, metric, [RARE] * 6)
    _, p, _ = contrast(*pair, metric, 0.95)
    edge, _, _ = contrast(*pair, metric, 1 - p)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", list(ENDPOINTS))
def test_the_same_predictions_do_not_differ(made, metric):
    same = measure([made((6, 20), seed=s) for s in range(6)], metric, [RARE] * 6)
    interval, p, _ = contrast(same, same, metric, 0.95)
    assert (interval.low, interval.mean, interval.high, p) == (0, 0, 0, 1)


def test_an_undefined_metric_is_refused(exact):
    found = measure([exact([0, 0], [0, 1], 2)], "macro_auc")
    with pytest.raises(ValueError, match="macro_auc is undefined"):
        contrast(found, found, "macro_auc", 0.95)


def test_the_order_of_the_sides_is_a_sign(made):
    a, b = (
        measure([made((6, 20), skill=k, seed=10 * i + s) for s in range(6)], "macro_auc") for i, k in ((0, 1), (1, 2))
    )
    forth, back = contrast(a, b, "macro_auc", 0.95), contrast(b, a, "macro_auc", 0.95)
    assert (forth[0].low, forth[0].high, forth[1]) == pytest.approx((-back[0].high, -back[0].low, back[1]))


def test_differences_end_where_the_metric_does(exact):
    right, wrong = exact([0, 1] * 2, [0, 1] * 2, 2), exact([0, 1] * 2, [1, 0] * 2, 2)
    pair = measure([right] * 3, "balanced_accuracy"), measure([wrong] * 3, "balanced_accuracy")
    interval, p, _ = contrast(*pair, "balanced_accuracy", 0.999)
    assert (interval.mean, interval.high) == (1, 1)
    assert 0 < p < 1  # four images are few, however clear they are


def _contrast(mean, p, against="x"):
    bounds = Interval(mean=mean, low=mean - 0.1, high=mean + 0.1)
    return Contrast(
        arm="a", against=against, metric="macro_auc", difference=bounds, p_value=p, p_adjusted=p, repetitions=6
    )


def test_the_hardest_is_the_one_least_beaten():
    beaten, closer, level, worse = (
        _contrast(0.2, 0.01),
        _contrast(0.1, 0.04),
        _contrast(0.0, 1.0),
        _contrast(-0.1, 0.01),
    )
    assert hardest([beaten, closer]) is closer
    assert hardest([closer, level]) is level
    assert hardest([level, worse]) is worse
    assert hardest([_contrast(0.3, 0.0, "y"), _contrast(0.2, 0.0)]).against == "x"
    assert (beaten.one_sided_p, worse.one_sided_p) == (0.005, 0.995)


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
