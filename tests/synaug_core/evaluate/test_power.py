"""Which gain a design shows, and what it would take."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from synaug_core.evaluate.contrast import contrast
from synaug_core.evaluate.power import (
    Needed,
    Power,
    detectable,
    images_needed,
    power_of,
    power_report,
    repetitions_needed,
)
from synaug_core.evaluate.scorer import scores
from synaug_core.evaluate.sentence import power_text
from synaug_core.evaluate.variance import Spread, measure

PLAIN = Spread(training=0.0009, crossed=0.0, shared=0.0)
MIXED = Spread(training=0.0006, crossed=0.0003, shared=0.0002)


@pytest.mark.parametrize(("gain", "pairs"), [(0.02, 6), (0.02, 20), (0.05, 6), (0.01, 100), (0.002, 12)])
def test_without_the_images_it_is_statsmodels_t_test_power(gain, pairs):
    power = TTestPower()
    two_sided = power.power(gain / 0.03, pairs, 0.05, alternative="two-sided")
    upper = power.power(gain / 0.03, pairs, 0.025, alternative="larger")
    assert power_of(gain, PLAIN, pairs, 0.05) == pytest.approx(upper, abs=1e-6)
    assert power_of(gain, PLAIN, pairs, 0.05) == pytest.approx(two_sided, abs=0.02)


def test_statsmodels_agrees_on_the_pairs_needed():
    power = TTestPower()
    expected = power.solve_power(0.02 / 0.03, None, 0.05, 0.8)
    assert repetitions_needed(0.02, PLAIN, 0.05) == int(np.ceil(expected))


def test_power_is_how_often_a_simulated_t_test_finds_the_gain():
    d = np.random.default_rng(1).normal(0.03, 0.03, (20_000, 10))
    found = stats.ttest_1samp(d, 0, axis=1)
    rate = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert power_of(0.03, PLAIN, 10, 0.05) == pytest.approx(rate, abs=0.012)


def test_the_detectable_gain_is_found_with_the_power_asked_for():
    for spread in (PLAIN, MIXED, Spread(0.0006, 0.0003, 0.0, ratio=0.25)):
        gain = detectable(spread, 10, 0.05)
        assert power_of(gain, spread, 10, 0.05) == pytest.approx(0.8, abs=1e-6)
        assert detectable(spread, 5, 0.05) is None


def test_more_of_anything_never_hurts():
    powers = [power_of(0.03, MIXED, n, 0.05) for n in (6, 8, 20, 100, 10_000)]
    assert powers == sorted(powers)
    powers = [power_of(0.03, MIXED, 6, 0.05, m) for m in (0.5, 1, 2, 50, 1e6)]
    assert powers == sorted(powers)


def test_the_numbers_needed_are_the_smallest():
    n = repetitions_needed(0.045, MIXED, 0.05)
    assert n > 6
    assert power_of(0.045, MIXED, n, 0.05) >= 0.8 > power_of(0.045, MIXED, n - 1, 0.05)
    m = images_needed(0.045, MIXED, 8, 0.05, images=100)
    assert power_of(0.045, MIXED, 8, 0.05, m / 100) >= 0.8 > power_of(0.045, MIXED, 8, 0.05, (m - 1) / 100)
    assert repetitions_needed(0.9, MIXED, 0.05) == 6
    assert images_needed(0.9, MIXED, 8, 0.05, images=100) < 10


def test_no_number_of_repetitions_makes_up_for_few_images():
    limit = (1.96 + 0.8416) * np.sqrt(MIXED.shared)
    assert repetitions_needed(0.98 * limit, MIXED, 0.05) is None
    assert repetitions_needed(1.05 * limit, MIXED, 0.05) > 40


def test_no_number_of_images_makes_up_for_few_repetitions():
    only_training = detectable(Spread(MIXED.training, 0, 0), 8, 0.05)
    assert images_needed(0.99 * only_training, MIXED, 8, 0.05, images=100) is None
    assert images_needed(1.05 * only_training, MIXED, 8, 0.05, images=100) > 100
    assert images_needed(0.9, MIXED, 5, 0.05, images=100) is None


def test_repetitions_of_folds_come_whole():
    spread = Spread(0.0009, 0.0, 0.0, ratio=0.25)
    n = repetitions_needed(0.05, spread, 0.05, folds=5)
    assert n >= 2
    assert power_of(0.05, spread, 5 * n, 0.05) >= 0.8
    assert repetitions_needed(0.03, spread, 0.05, folds=5) is None


def test_gains_far_beyond_the_noise():
    assert power_of(0.5, Spread(1e-8, 0, 0), 6, 0.05) == 1
    assert power_of(0.5, Spread(0, 0, 0), 6, 0.05) == 1
    assert power_of(0.5, Spread(0, 0, 0.0001, image_df=3), 6, 0.05) == 1


ARMS = ("ours", "theirs")


def _report(found, folds=None):
    ours, theirs = (measure(found[arm], "balanced_accuracy") for arm in ARMS)
    repetitions = len(found["ours"]) // (folds or 1)
    return power_report(ours.minus(theirs), "balanced_accuracy", level=0.05, repetitions=repetitions, folds=folds)


def test_what_a_report_holds(crossed):
    found = crossed(np.random.default_rng(0), ARMS, 6, gain=0.2)
    report = _report(found)
    d = [
        scores(a)["balanced_accuracy"] - scores(b)["balanced_accuracy"]
        for a, b in zip(found["ours"], found["theirs"], strict=True)
    ]
    assert report.sd == pytest.approx(np.std(d, ddof=1))
    assert report.from_repetitions >= report.sd / np.sqrt(6) - 1e-12
    assert (report.repetitions, report.images, report.power) == (6, 110, 0.8)
    assert report.observed.gain == pytest.approx(np.mean(d))
    assert [n.gain for n in report.wished] == [0.02, 0.05]
    assert Power.model_validate_json(report.model_dump_json()) == report


def test_the_parts_add_up_to_how_much_the_difference_really_varies(crossed):
    """Over new images and new trainings, the mean difference has the variance that one comparison estimates."""
    rng = np.random.default_rng(3)
    for suits, luck in ((0.8, 0.2), (0.2, 0.5)):
        estimated, seen = [], []
        for _ in range(150):
            found = crossed(rng, ARMS, 6, counts=(30, 40), suits=suits, luck=luck)
            report = _report(found)
            estimated.append((report.from_repetitions**2, report.from_images**2))
            seen.append(report.observed.gain if report.observed else _mean_difference(found))
        assert np.sum(np.mean(estimated, axis=0)) == pytest.approx(np.var(seen), rel=0.3)
        repetitions, images = np.mean(estimated, axis=0)
        assert (images > repetitions) == (suits > luck)


def _mean_difference(found):
    means = [np.mean([scores(p)["balanced_accuracy"] for p in found[arm]]) for arm in ARMS]
    return means[0] - means[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "suits", "luck", "gain"), [(6, 0.3, 0.5, 0.6), (6, 0.8, 0.2, 0.6), (10, 0.5, 0.3, 0.4), (20, 0.3, 0.5, 0.35)]
)
def test_the_rule_finds_a_gain_about_as_often_as_predicted(crossed, n, suits, luck, gain):
    rng = np.random.default_rng(n)
    spread = np.sqrt(1.49 + suits**2 + luck**2)
    true = stats.norm.cdf((0.8 + gain) / spread) - stats.norm.cdf(0.8 / spread)
    found, parts, trials = 0, [], 400
    for _ in range(trials):
        arms = crossed(rng, ARMS, n, gain=gain, suits=suits, luck=luck)
        pair = (measure(arms[arm], "balanced_accuracy") for arm in ARMS)
        interval, p, _ = contrast(*pair, "balanced_accuracy", 0.95)
        found += interval.low > 0 and p < 0.05
        report = _report(arms)
        parts.append((report.from_repetitions**2, report.from_images**2))
    repetitions, images = np.mean(parts, axis=0)
    predicted = power_of(true, Spread(n * repetitions, 0.0, images, image_df=30), n, 0.05)
    assert found / trials == pytest.approx(predicted, abs=0.08)


def test_few_or_equal_trainings_give_no_report(crossed):
    rng = np.random.default_rng(0)
    assert _report(crossed(rng, ARMS, 1)) is None
    same = crossed(rng, ARMS, 6)["ours"]
    assert _report({"ours": same, "theirs": same}) is None
    few = _report(crossed(rng, ARMS, 3))
    assert few.detectable is None
    assert few.wished[1].images is None
    assert "3 repetitions on 110 test images can show no gain at all" in power_text(few)


def test_a_loss_has_no_repetitions_that_show_it_as_a_gain(crossed):
    found = crossed(np.random.default_rng(0), ARMS, 6, gain=1.0)
    report = _report({"ours": found["theirs"], "theirs": found["ours"]})
    assert report.observed is None
    assert "seen here" not in power_text(report)


def test_folds(cross_validated):
    test, _ = cross_validated(np.random.default_rng(0), ARMS, folds=5, repetitions=4, gain=1.0)
    report = _report(test, folds=5)
    assert (report.repetitions, report.images) == (4, 60)
    assert report.from_images == pytest.approx(report.sd / 2)
    assert report.from_repetitions == pytest.approx(report.sd / np.sqrt(20))
    assert power_text(report).startswith("5-fold cross-validation repeated 4 times on 60 test images would show")
    small = report.wished[0]
    assert small.repetitions is None  # however often the same 60 images are divided anew
    assert small.images is None or small.images > 60
    large, _ = cross_validated(np.random.default_rng(0), ARMS, folds=5, repetitions=4, images=500)
    assert _report(large, folds=5).wished[1].images > 500


def test_in_words(crossed):
    report = _report(crossed(np.random.default_rng(1), ARMS, 6, gain=0.1))
    text = power_text(report)
    assert text.startswith("6 repetitions on 110 test images would show a true gain of ")
    assert "with a probability of 80 %; a gain of " in text
    assert "points (as seen here) would take " in text
    assert " 2 points would take " in text
    needed = report.model_copy(update={"wished": (Needed(gain=0.02, repetitions=1234, images=4332),)})
    assert power_text(needed).endswith("; a gain of 2 points would take 1,234 repetitions or about 4,300 test images.")
    hopeless = tuple(Needed(gain=g, repetitions=None, images=None) for g in (0.02, 0.05))
    neither = report.model_copy(update={"wished": hopeless, "detectable": None, "observed": None})
    assert power_text(neither).endswith(
        "; a gain of 2 points or 5 points would take more of both, repetitions and test images."
    )
    assert text.endswith(".")
