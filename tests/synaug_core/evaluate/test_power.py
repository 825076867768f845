import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from synaug_core.evaluate.contrast import attained_level, sign_flip
from synaug_core.evaluate.power import (
    Spread,
    corrected_t_power,
    detectable,
    images_needed,
    power_of,
    repetitions_needed,
    sign_flip_power,
)

PLAIN = Spread(training=0.0009, crossed=0.0, shared=0.0)
MIXED = Spread(training=0.0006, crossed=0.0003, shared=0.0002)


def _t(spread):
    return corrected_t_power(spread, 0.05)


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
    assert repetitions_needed(0.02, _t(PLAIN)) == int(np.ceil(expected))


def test_power_is_how_often_a_simulated_t_test_finds_the_gain():
    d = np.random.default_rng(1).normal(0.03, 0.03, (20_000, 10))
    found = stats.ttest_1samp(d, 0, axis=1)
    rate = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert power_of(0.03, PLAIN, 10, 0.05) == pytest.approx(rate, abs=0.012)


@pytest.mark.parametrize("pairs", [6, 7, 8, 12])
def test_the_sign_flip_test_has_that_power(pairs):
    gain = detectable(sign_flip_power(PLAIN, 0.05), pairs)
    d = np.random.default_rng(2).normal(gain, 0.03, (1500, pairs))
    assert np.mean([sign_flip(row) < 0.05 for row in d]) == pytest.approx(0.8, abs=0.04)


def test_six_pairs_have_to_agree():
    """Six differences of one sign: Phi(gain / sd)^6, less where a shared image effect may turn them all."""
    alone = sign_flip_power(PLAIN, 0.05)(0.04, 6)
    assert alone == pytest.approx(stats.norm.cdf(0.04 / 0.03) ** 6)
    shared = np.random.default_rng(0).normal(0.04, 0.01, 400_000)
    expected = np.mean(stats.norm.cdf(shared / 0.03) ** 6)
    assert sign_flip_power(Spread(0.0009, 0, 0.0001), 0.05)(0.04, 6) == pytest.approx(expected, abs=2e-3)
    assert sign_flip_power(PLAIN, 0.05)(5.0, 5) == 0


def test_attained_levels_by_hand():
    assert [attained_level(0.05, n) for n in (5, 6, 7, 10)] == [0, 2 / 64, 6 / 128, 50 / 1024]
    assert attained_level(0.0625, 5) == 0
    assert attained_level(0.05, 17) == 0.05


def test_the_detectable_gain_is_found_with_the_power_asked_for():
    for spread in (PLAIN, MIXED, Spread(0.0006, 0.0003, 0.0, ratio=0.25)):
        gain = detectable(_t(spread), 10)
        assert power_of(gain, spread, 10, 0.05) == pytest.approx(0.8, abs=1e-6)
        assert detectable(_t(spread), 5) is None


def test_more_of_anything_never_hurts():
    powers = [power_of(0.03, MIXED, n, 0.05) for n in (6, 8, 20, 100, 10_000)]
    assert powers == sorted(powers)
    powers = [power_of(0.03, MIXED, 6, 0.05, m) for m in (0.5, 1, 2, 50, 1e6)]
    assert powers == sorted(powers)


def test_the_numbers_needed_are_the_smallest():
    n = repetitions_needed(0.045, _t(MIXED))
    assert n > 6
    assert power_of(0.045, MIXED, n, 0.05) >= 0.8 > power_of(0.045, MIXED, n - 1, 0.05)
    m = images_needed(0.045, _t(MIXED), 8, images=100)
    assert power_of(0.045, MIXED, 8, 0.05, m / 100) >= 0.8 > power_of(0.045, MIXED, 8, 0.05, (m - 1) / 100)
    assert repetitions_needed(0.9, _t(MIXED)) == 6
    assert images_needed(0.9, _t(MIXED), 8, images=100) < 10


def test_no_number_of_repetitions_makes_up_for_few_images():
    limit = (1.96 + 0.8416) * np.sqrt(MIXED.shared)
    assert repetitions_needed(0.98 * limit, _t(MIXED)) is None
    assert repetitions_needed(1.05 * limit, _t(MIXED)) > 40


def test_no_number_of_images_makes_up_for_few_repetitions():
    only_training = detectable(_t(Spread(MIXED.training, 0, 0)), 8)
    assert images_needed(0.99 * only_training, _t(MIXED), 8, images=100) is None
    assert images_needed(1.05 * only_training, _t(MIXED), 8, images=100) > 100
    assert images_needed(0.9, _t(MIXED), 5, images=100) is None


def test_repetitions_of_folds_come_whole():
    spread = Spread(0.0009, 0.0, 0.0, ratio=0.25)
    n = repetitions_needed(0.05, _t(spread), folds=5)
    assert n >= 2
    assert power_of(0.05, spread, 5 * n, 0.05) >= 0.8
    assert repetitions_needed(0.03, _t(spread), folds=5) is None


def test_gains_far_beyond_the_noise():
    assert power_of(0.5, Spread(1e-8, 0, 0), 6, 0.05) == 1
    assert power_of(0.5, Spread(0, 0, 0), 6, 0.05) == 1
    assert sign_flip_power(Spread(0, 0, 0), 0.05)(0.5, 6) == 1
