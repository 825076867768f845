"""How often the tests see an effect where there is none."""

import numpy as np
import pytest

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.contrast import contrast, sign_flip
from synaug_core.evaluate.folds import corrected_t, fold_contrast, overlap
from synaug_core.evaluate.scorer import scores

PAIR = ("ours", "theirs")
OPTIONS = {"controls": ["control"], "train_counts": {}}


def test_sign_flip_keeps_its_level():
    """10 pairs attain 4.9 %; differences need no normal distribution, only symmetry."""
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.laplace):
        found = np.mean([sign_flip(draw(0, 1, 10)) < 0.05 for _ in range(4000)])
        assert found == pytest.approx(0.05, abs=0.01)


@pytest.mark.slow
def test_sign_flip_keeps_its_level_on_predictions(crossed):
    """Two equal methods on images that suit neither more: repetitions vary, images do not."""
    rng = np.random.default_rng(1)
    found = 0
    for seed in range(3000):
        arms = crossed(rng, PAIR, 10, counts=(30, 45, 60), suits=0.0)
        found += contrast(*arms.values(), "balanced_accuracy", confidence=0.95, resamples=1, seed=seed)[1] < 0.05
    assert found / 3000 == pytest.approx(0.05, abs=0.01)


def test_the_interval_of_a_difference_covers_the_truth(crossed):
    """New images and new trainings each time; the true difference is 0."""
    rng = np.random.default_rng(2)
    hits, trials = 0, 150
    for seed in range(trials):
        interval, _, _ = contrast(
            *crossed(rng, PAIR, 8).values(), "balanced_accuracy", confidence=0.95, resamples=200, seed=seed
        )
        hits += interval.low <= 0 <= interval.high
    assert hits / trials > 0.89


def test_corrected_t_keeps_its_level_where_trainings_share_as_much_as_it_assumes():
    """Results of normal distribution with the correlation n_test / (n_train + n_test) that the correction is made for;
    where real trainings depend less on what they share, as below, it errs less often still."""
    rng = np.random.default_rng(3)
    folds, results = 5, 10
    shared, own = np.sqrt(1 / folds), np.sqrt(1 - 1 / folds)
    draws = (shared * rng.normal(size=(4000, 1)) + own * rng.normal(size=(4000, results))) / 100
    found = np.mean([corrected_t(d, overlap(folds), 0.95)[1] < 0.05 for d in draws])
    assert found == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("trials", [300, pytest.param(4000, marks=pytest.mark.slow)])
def test_corrected_t_keeps_its_level_where_the_plain_one_does_not(cross_validated, trials):
    """Equal methods over new data sets: 5 folds, twice. The plain t test errs about three times too often."""
    rng = np.random.default_rng(4)
    corrected = plain = 0
    for _ in range(trials):
        test, _ = cross_validated(rng, PAIR)
        corrected += fold_contrast(*test.values(), "balanced_accuracy", folds=5, confidence=0.95)[1] < 0.05
        d = [np.subtract(*(scores_of(p) for p in pair)) for pair in zip(*test.values(), strict=True)]
        plain += corrected_t(d, 0.0, 0.95)[1] < 0.05
    assert corrected / trials <= 0.06
    assert plain / trials > 0.09


def scores_of(p):
    right = p.predicted == p.labels
    return np.mean([right[p.labels == c].mean() for c in (0, 1)])


@pytest.mark.slow
def test_the_rule_rarely_sees_a_gain_on_one_test_part(crossed):
    """The best of five synthetic arms against a control, images that suit one arm or another, six repetitions."""
    rng = np.random.default_rng(5)
    arms = ("control", *(f"synthetic {i}" for i in range(5)))
    gains, trials = 0, 600
    for seed in range(trials):
        test = crossed(rng, arms, 6)
        lucky = {arm: [float(rng.normal())] for arm in arms}
        config = EvaluationConfig(resamples=200)
        gains += compare(test, lucky, config=config, seed=seed, **OPTIONS).verdict == "gain"
    assert gains / trials <= 0.05


@pytest.mark.parametrize(
    ("trials", "rivals"), [(40, 3), pytest.param(400, 20, marks=pytest.mark.slow)], ids=["quick", "long"]
)
def test_the_rule_rarely_sees_a_gain_in_cross_validation(cross_validated, trials, rivals):
    """The best of many synthetic arms, chosen on images that are test images of other folds."""
    rng = np.random.default_rng(6)
    arms = ("control", *(f"synthetic {i}" for i in range(rivals)))
    config = EvaluationConfig(resamples=20)
    gains = 0
    for seed in range(trials):
        test, validation = cross_validated(rng, arms, repetitions=2)
        gains += compare(test, validation, config=config, seed=seed, folds=5, **OPTIONS).verdict == "gain"
    assert gains / trials <= 0.05


def test_equal_trainings_never_differ(cross_validated):
    test, _ = cross_validated(np.random.default_rng(7), PAIR)
    interval, p, _ = fold_contrast(test["ours"], test["ours"], "macro_auc", folds=5, confidence=0.95)
    assert (interval.low, interval.high, p) == (0, 0, 1)
    assert scores(test["ours"][0])["balanced_accuracy"] == pytest.approx(scores_of(test["ours"][0]))
