"""Wilson's interval, the exact binomial test and McNemar's."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binomtest

from synaug_core.evaluate.proportions import binomial_p, discordances, mcnemar, wilson


@given(st.integers(1, 300), st.data(), st.floats(0.51, 0.999))
def test_they_are_scipys(n: int, data: st.DataObject, confidence: float) -> None:
    right = data.draw(st.integers(0, n))
    oracle = binomtest(right, n)
    interval = oracle.proportion_ci(confidence, method="wilson")
    assert binomial_p(right, n) == pytest.approx(oracle.pvalue)
    assert wilson(right / n, n, confidence) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_numbers_beyond_a_float_are_exact() -> None:
    assert binomial_p(2000, 4000) == 1
    assert binomial_p(0, 1000) == 2.0**-999
    assert binomial_p(0, 0) == 1


@given(st.floats(0, 1), st.floats(0.5, 500), st.floats(0.51, 0.999))
def test_the_interval_of_any_share_and_any_number(share: float, n: float, confidence: float) -> None:
    """A mean over folds is no whole number of images: the bounds solve (p - share)^2 = z^2 p (1 - p) / n."""
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    centre, half = share + z2 / (2 * n), sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n)
    expected = ((centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n))
    assert wilson(share, n, confidence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.timeout(120)
def test_many_answers() -> None:
    """With each term computed anew this would take more than half an hour, and the limit of a test shows it."""
    assert binomial_p(9_990, 20_000) == pytest.approx(binomtest(9_990, 20_000).pvalue)
    assert binomial_p(99_900, 200_000) == pytest.approx(binomtest(99_900, 200_000).pvalue)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (3, 9), (40, 41), (200, 150)])
def test_it_is_statsmodels_exact_test(first, second):
    from statsmodels.stats import contingency_tables as tables

    expected = tables.mcnemar([[100, first], [second, 30]], exact=True).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_each_pair_is_counted_on_its_own(exact):
    labels = [0, 0, 0, 1, 1, 1, 1, 1]
    perfect, three_wrong = exact(labels, labels, 2), exact(labels, [1, 1, 1, 1, 1, 1, 1, 1], 2)
    one_wrong = exact(labels, [0, 0, 0, 0, 1, 1, 1, 1], 2)
    found = discordances([perfect, one_wrong, perfect], [three_wrong, three_wrong])
    assert [(d.repetition, d.only_arm_right, d.only_against_right) for d in found] == [(0, 3, 0), (1, 3, 1)]
    assert [d.p_value for d in found] == pytest.approx([binomtest(3, 3).pvalue, binomtest(3, 4).pvalue])


def test_other_images_are_refused(made):
    with pytest.raises(ValueError, match="same test images"):
        discordances([made((3, 4))], [made((3, 5))])
    with pytest.raises(ValueError, match="at least one repetition"):
        discordances([], [])


def test_under_the_null_it_keeps_its_level():
    rng = np.random.default_rng(0)
    only = rng.binomial(60, 0.5, 3000)
    assert np.mean([mcnemar(int(k), 60 - int(k)) < 0.05 for k in only]) < 0.055
