from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from synaug_core.drift.finding import frequency_test


def test_the_statistic_is_pearsons():
    for one, other in [((30, 20, 5), (10, 25, 9)), ((5, 0, 7), (1, 0, 9)), ((100, 3), (90, 8))]:
        kept = [i for i in range(len(one)) if one[i] + other[i]]
        table = np.array([one, other])[:, kept]
        expected = stats.chi2_contingency(table, correction=False).statistic
        assert frequency_test(one, other, draws=99, seed=0).statistic == pytest.approx(expected)


def test_p_agrees_with_the_chi_square_where_that_holds():
    one, other = (1200, 900, 600), (1120, 960, 630)
    expected = stats.chi2_contingency(np.array([one, other]), correction=False).pvalue
    assert frequency_test(one, other, draws=20_000, seed=0).p_value == pytest.approx(expected, abs=0.01)


def test_p_agrees_with_fishers_test_where_counts_are_small():
    # of two classes with margins that make both orders agree, Fisher's two-sided p is the share of tables as extreme
    for one, other in [((9, 1), (4, 6)), ((10, 0), (5, 5)), ((8, 2), (7, 3))]:
        expected = stats.fisher_exact([one, other]).pvalue
        assert frequency_test(one, other, draws=20_000, seed=1).p_value == pytest.approx(expected, abs=0.012)


def test_under_one_mix_p_is_never_too_small():
    rng = np.random.default_rng(3)
    mix = (0.9, 0.08, 0.02)  # rare classes, where the chi-square distribution is wrong
    p = np.array(
        [
            frequency_test(rng.multinomial(60, mix), rng.multinomial(40, mix), draws=199, seed=i).p_value
            for i in range(400)
        ]
    )
    for level in (0.01, 0.05, 0.2):
        assert stats.binomtest(int((p <= level).sum()), len(p), level, alternative="greater").pvalue > 0.01


def test_another_mix_is_found():
    assert frequency_test((100, 100, 10), (40, 20, 40), draws=999, seed=0).p_value == 0.001
    assert frequency_test((50, 50), (50, 50), draws=999, seed=0).p_value == 1.0
    assert frequency_test((50, 0), (20, 0), draws=99, seed=0).p_value == 1.0


@pytest.mark.parametrize(("one", "other"), [((1, 2), (1, 2, 3)), ((0, 0), (1, 2)), ((1, 2), (0, 0))])
def test_what_cannot_be_compared(one: tuple[int, ...], other: tuple[int, ...]):
    with pytest.raises(ValueError, match="counts"):
        frequency_test(one, other, draws=99, seed=0)
