"""How often the tests see an effect where there is none."""

import numpy as np
import pytest

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.contrast import contrast
from synaug_core.evaluate.folds import corrected_t, fold_contrast, overlap
from synaug_core.evaluate.scorer import scores
from synaug_core.evaluate.variance import measure

PAIR = ("ours", "theirs")
OPTIONS = {"controls": ["control"], "train_counts": {}}


SETTINGS = [
    # repetitions, images of each class, what the model of the images draws
    (6, (20, 40, 50), {}),
    (6, (5, 60), {}),
    (10, (30, 45, 60), {"suits": 0.0}),
    (20, (20, 40), {"suits": 0.9, "luck": 0.1}),
]


@pytest.mark.parametrize("trials", [250, pytest.param(3000, marks=pytest.mark.slow)])
def test_the_test_keeps_its_level(crossed, trials):
    """Two equal methods, new images and new trainings each time, whatever of it varies most, all settings together;
    `benchmarks.null_simulation` looks at each."""
    rng = np.random.default_rng(1)
    p_values = []
    for n, counts, parts in SETTINGS * trials:
        found = crossed(rng, PAIR, n, counts=counts, **parts)
        pair = (measure(reps, "balanced_accuracy") for reps in found.values())
        p_values.append(contrast(*pair, "balanced_accuracy", 0.95)[1])
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / len(p_values))


def test_a_bare_t_test_over_the_trainings_would_not_keep_it(crossed):
    """Images that suit an arm suit all its trainings: what counts trainings alone errs far too often."""
    rng = np.random.default_rng(2)
    hits = {"bare": 0, "ours": 0}
    for _ in range(200):
        arms = crossed(rng, PAIR, 10, counts=(20, 40), suits=0.9, luck=0.1)
        ours, theirs = (measure(reps, "balanced_accuracy") for reps in arms.values())
        hits["bare"] += corrected_t(ours.minus(theirs).values, 0.0, 0.95)[1] < 0.05
        hits["ours"] += contrast(ours, theirs, "balanced_accuracy", 0.95)[1] < 0.05
    assert hits["bare"] > 40
    assert hits["ours"] <= 20


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
        pair = (measure(reps, "balanced_accuracy") for reps in test.values())
        corrected += fold_contrast(*pair, "balanced_accuracy", folds=5, confidence=0.95)[1] < 0.05
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
    ours = measure(test["ours"], "macro_auc")
    interval, p, _ = fold_contrast(ours, ours, "macro_auc", folds=5, confidence=0.95)
    assert (interval.low, interval.high, p) == (0, 0, 1)
    assert scores(test["ours"][0])["balanced_accuracy"] == pytest.approx(scores_of(test["ours"][0]))
