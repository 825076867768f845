from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import cohen_kappa_score

from synaug_core.turing.scores import (
    cohen_kappa,
    effective_answers,
    fleiss_kappa,
    relabelling_p,
    score,
    sensitivity,
)


def told(synthetic: Any, said: Any, **options: Any) -> Any:
    return score(np.array(synthetic), np.array(said), np.ones(len(said)), **options)


@given(st.integers(1, 200), st.data())
def test_one_raters_interval_and_p_are_scipys(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    found = told([True] * n, [True] * right + [False] * (n - right))
    oracle = binomtest(right, n)
    interval = oracle.proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.accuracy == right / n
    assert found.low <= found.accuracy <= found.high or found.accuracy in (0, 1)


def test_sensitivity_by_hand() -> None:
    """Rates with half an answer added: 15.5 of 21 and 5.5 of 21."""
    d_prime, criterion = sensitivity(15, 20, 5, 20)
    assert d_prime == pytest.approx(norm.ppf(15.5 / 21) - norm.ppf(5.5 / 21))
    assert criterion == pytest.approx(0, abs=1e-12)
    assert sensitivity(0, 20, 20, 20)[0] == -sensitivity(20, 20, 0, 20)[0]
    assert np.isfinite(sensitivity(20, 20, 0, 20)).all()
    assert sensitivity(2, 20, 2, 20)[0] == pytest.approx(0)
    assert sensitivity(2, 20, 2, 20)[1] > 0  # mostly said "real"


def test_chance_gives_nothing_and_certainty_all() -> None:
    rng = np.random.default_rng(0)
    truth, guess = rng.random(20_000) < 0.5, rng.random(20_000) < 0.3
    chance = told(truth, guess)
    assert abs(chance.d_prime) < 0.05
    assert chance.accuracy == pytest.approx(0.5, abs=0.01)
    assert chance.criterion > 0.4
    sure = told(truth[:100], truth[:100])
    assert (sure.accuracy, sure.hit_rate, sure.false_alarm_rate) == (1, 1, 0)
    assert sure.p_value < 1e-20
    assert sure.d_prime > 4


def test_what_is_undefined_is_none() -> None:
    only = told([True, True], [True, False])
    assert (only.hit_rate, only.false_alarm_rate, only.d_prime, only.criterion) == (0.5, None, None, None)


def kappas() -> st.SearchStrategy[list[list[bool]]]:
    return st.integers(2, 5).flatmap(
        lambda raters: st.lists(st.lists(st.booleans(), min_size=raters, max_size=raters), min_size=2, max_size=40)
    )


@given(kappas())
def test_cohens_kappa_is_sklearns(table: list[list[bool]]) -> None:
    first, second = np.array(table).T[:2]
    found = cohen_kappa(first, second)
    if found is None:
        assert len(np.unique(np.concatenate([first, second]))) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second))


@given(kappas())
def test_fleiss_kappa_is_statsmodels(table: list[list[bool]]) -> None:
    from statsmodels.stats import inter_rater as oracle

    said = np.array(table).T
    found = fleiss_kappa(said)
    if found is not None:
        counts = np.stack([(~said).sum(0), said.sum(0)], axis=1)
        assert found == pytest.approx(oracle.fleiss_kappa(counts))


def test_fleiss_kappa_of_a_published_table() -> None:
    """Two categories by hand: 3 raters, images with 3, 3, 0, 0 and 2 yes."""
    said = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [1, 1, 0, 0, 0]], dtype=bool)
    agreed, share = (4 * 1 + 1 / 3) / 5, 8 / 15
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa(said) == pytest.approx((agreed - chance) / (1 - chance))


def test_agreement_beyond_chance() -> None:
    rng = np.random.default_rng(1)
    same = rng.random(5000) < 0.4
    assert cohen_kappa(same, same) == fleiss_kappa(np.stack([same] * 3)) == 1
    apart = rng.random((3, 5000)) < 0.4
    assert abs(cohen_kappa(*apart[:2]) or 0) < 0.05
    assert abs(fleiss_kappa(apart) or 0) < 0.05
    assert cohen_kappa(same, ~same) < 0  # type: ignore[operator]
    assert cohen_kappa(np.ones(4, bool), np.ones(4, bool)) is None
    assert fleiss_kappa(np.ones((3, 4), bool)) is None


def test_answers_are_worth_what_they_add() -> None:
    rng = np.random.default_rng(2)
    once = rng.random(60) < 0.7
    images = np.repeat(np.arange(60), 4)
    # four people who always agree say no more than one of them
    assert effective_answers(np.repeat(once, 4), images) == pytest.approx(59, abs=0.01)
    # those who answer independently are worth nearly all their answers
    assert effective_answers(rng.random(240) < 0.7, images) > 180
    assert effective_answers(np.ones(240, bool), images) == 60


def test_people_who_agree_by_prejudice_are_not_taken_for_people_who_see() -> None:
    """Five people judge by something that has nothing to do with the truth: the naive test is wrong in every third."""
    rng = np.random.default_rng(3)
    runs, found, naive = 120, 0, 0
    images, truth = np.tile(np.arange(40), 5), np.tile(np.arange(40) < 20, 5)
    for seed in range(runs):
        lean = rng.choice([0.1, 0.9], 40)
        said = rng.random(200) < lean[images]
        one = told(truth, said, images=images, seed=seed)
        found += one.p_value < 0.05
        naive += binomtest(one.right, 200).pvalue < 0.05
    assert found <= 0.12 * runs
    assert naive > 0.2 * runs


def test_relabelling_agrees_with_counting() -> None:
    """One rater, four images: of the six ways to call two of them synthetic one is as right as he was, one as wrong."""
    truth = np.array([True, True, False, False])
    p = relabelling_p(truth, truth, np.arange(4), np.zeros(4, np.int64))
    assert p == pytest.approx(2 / 6, abs=0.02)
    assert p == relabelling_p(truth, truth, np.arange(4), np.zeros(4, np.int64))
    # a class of its own for each pair: one of four ways
    strata = np.array([0, 1, 0, 1])
    assert relabelling_p(truth, truth, np.arange(4), strata) == pytest.approx(2 / 4, abs=0.02)
