from dataclasses import replace

import numpy as np
import pytest

from synaug_core.evaluate.intervals import Interval, batch_sizes, bounds, draw_stratified, intervals
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import scores
from synaug_core.metrics import METRICS


def test_means_are_means_of_the_scores_and_lie_inside(made):
    reps = [made((4, 20, 40), seed=s) for s in range(5)]
    found = intervals(reps, confidence=0.95, resamples=400, seed=1)
    single = [scores(p) for p in reps]
    assert set(found) == set(single[0])
    for name, interval in found.items():
        assert interval.mean == pytest.approx(np.mean([s[name] for s in single]))
        assert interval.low <= interval.mean <= interval.high
        if not name.endswith("support"):
            low, high = METRICS[name].bounds if name in METRICS else (0, 1)
            assert low <= interval.low
            assert interval.high <= high


def test_equal_seeds_give_equal_intervals(made):
    reps = [made((4, 20), seed=s) for s in range(3)]
    first, again, other = (intervals(reps, confidence=0.9, resamples=200, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_higher_confidence_and_fewer_images_are_wider(made):
    def width(counts, confidence):
        i = intervals([made(counts, seed=s) for s in range(4)], confidence=confidence, resamples=500, seed=0)
        return i["balanced_accuracy"].high - i["balanced_accuracy"].low

    assert width((20, 30), 0.8) < width((20, 30), 0.99)
    assert width((400, 600), 0.95) < 0.5 * width((20, 30), 0.95)


def test_two_images_found_twice_are_no_certainty(exact):
    p = exact([0, 0] + [1] * 50, [0, 0] + [1] * 50, 2)
    found = intervals([p] * 3, confidence=0.95, resamples=2000, seed=0)
    rare, common = found["class/class-a/recall"], found["class/class-b/recall"]
    # Wilson's interval of 2 of 2 begins at 0.34, that of 50 of 50 at 0.93
    assert (rare.mean, rare.high) == (1, 1)
    assert 0.1 < rare.low < 0.6
    assert 0.88 < common.low < 0.99
    assert found["class/class-a/precision"].low < 0.8
    assert found["class/class-a/support"] == Interval(mean=2, low=2, high=2)


def test_a_precision_that_only_some_repetitions_define(exact):
    never, once = exact([0, 0, 1], [0, 0, 0], 2), exact([0, 0, 1], [0, 0, 1], 2)
    found = intervals([never, once], confidence=0.95, resamples=200, seed=0)
    assert found["class/class-b/precision"].mean == 1
    assert "class/class-b/precision" not in intervals([never], confidence=0.95, resamples=200, seed=0)


def test_coverage_of_the_true_balanced_accuracy():
    """Over new repetitions and new images, 95 % intervals hold the truth about that often (never far below)."""
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [15, 40, 60]).astype(np.int64)
    ids = tuple(map(str, labels.cumsum() * 1000 + np.arange(len(labels))))
    hit = 0
    truth_draws = rng.normal(0.8, 1.0, 200_000) + rng.normal(0, 0.3, 200_000) + rng.normal(0, 1, 200_000)
    truth = float((truth_draws > 0).mean())
    trials = 120
    for trial in range(trials):
        difficulty = rng.normal(0.8, 1.0, len(labels))
        reps = []
        for _ in range(6):
            right = difficulty + rng.normal(0, 0.3, 3)[labels] + rng.normal(0, 1, len(labels)) > 0
            p = np.full((len(labels), 3), 0.1)
            p[np.arange(len(labels)), np.where(right, labels, (labels + 1) % 3)] = 0.8
            reps.append(Predictions(ids, labels, p, ("a", "b", "c")))
        i = intervals(reps, confidence=0.95, resamples=300, seed=trial)["balanced_accuracy"]
        hit += i.low <= truth <= i.high
    assert hit / trials > 0.88


def test_what_cannot_be_resampled_together_is_refused(made):
    p = made((3, 4))
    for reps in (
        [],
        [made((0, 0))],
        [p, p.in_order(p.ids[::-1])],
        [p, replace(p, classes=("x", "y"))],
        [p, replace(p, labels=1 - p.labels)],
    ):
        with pytest.raises(ValueError, match=r"repetition"):
            intervals(reps, confidence=0.95, resamples=10, seed=0)


def test_draws_keep_every_class_as_large_as_it_is():
    labels = np.array([0, 1, 1, 2, 2, 2])
    weights = draw_stratified(labels, 50, np.random.default_rng(0))
    for c in range(3):
        np.testing.assert_array_equal(weights[labels == c].sum(0), (labels == c).sum())
    assert weights.std() > 0


def test_one_draw_less_gives_the_variance_of_a_mean_without_bias():
    values, labels = np.array([0.0, 1.0, 1.0, 5.0]), np.zeros(4, np.int64)
    weights = draw_stratified(labels, 40_000, np.random.default_rng(0), fewer=1)
    np.testing.assert_array_equal(weights.sum(0), 3)
    assert (values @ weights / 3).var() == pytest.approx(values.var(ddof=1) / 4, rel=0.03)
    assert (draw_stratified(np.array([0, 1, 1]), 5, np.random.default_rng(0), fewer=1)[0] == 1).all()


def test_batches_add_up():
    assert sum(batch_sizes(400, 2345)) == 2345
    assert sum(batch_sizes(10_000_000, 3)) == 3
    assert max(batch_sizes(10_000, 5000)) * 10_000 <= 4_000_000


def test_bounds_leave_undefined_draws_aside():
    i = bounds(0.5, np.array([0.4, np.nan, 0.6]), 0.95)
    assert 0.4 <= i.low < 0.5 < i.high <= 0.6
    assert bounds(0.5, np.array([np.nan]), 0.95) == Interval(mean=0.5, low=0.5, high=0.5)
