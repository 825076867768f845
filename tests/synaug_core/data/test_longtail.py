from __future__ import annotations

import pytest

from synaug_core.data.longtail import long_tail, profile
from synaug_core.errors import DataError


def test_exponential_profile():
    assert profile({"a": 100, "b": 100, "c": 100}, 100) == {"a": 100, "b": 10, "c": 1}
    found = list(profile({str(i): 107 for i in range(10)}, 20).values())
    assert found == sorted(found, reverse=True)
    assert found[0] / found[-1] == pytest.approx(20, rel=0.1)


def test_ratio_holds_where_later_classes_are_small():
    assert profile({"a": 100, "b": 100, "c": 5}, 10) == {"a": 50, "b": 16, "c": 5}


def test_ratio_one_balances():
    assert profile({"a": 7, "b": 9}, 1) == {"a": 7, "b": 7}


def test_impossible():
    with pytest.raises(DataError, match=r"a ratio of 100 leaves no training image of b"):
        profile({"a": 9, "b": 9}, 100)


def test_choice_is_nested_and_independent_of_order():
    labels = ["a"] * 40 + ["b"] * 40
    ids = [f"{label}{i}" for i, label in enumerate(labels)]

    def kept(ratio: float, step: int = 1) -> set[str]:
        chosen = long_tail(labels[::step], ids[::step], ["a", "b"], ratio, 1)
        return {i for i, keep in zip(ids[::step], chosen, strict=True) if keep}

    assert len(kept(8)) == 45
    assert kept(8) < kept(2)
    assert kept(8) == kept(8, -1)
