from __future__ import annotations

from collections import Counter

import pytest

from synaug_core.config import DataConfig
from synaug_core.data.prepare import prepare
from synaug_core.data.thinning import choose_of_each, class_limits, equal_shares, profile
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
        chosen = choose_of_each(labels[::step], ids[::step], profile(Counter(labels), ratio), 1, "long_tail")
        return {i for i, keep in zip(ids[::step], chosen, strict=True) if keep}

    assert len(kept(8)) == 45
    assert kept(8) < kept(2)
    assert kept(8) == kept(8, -1)


LABELS = ["a"] * 40 + ["b"] * 9
IDS = [f"{label}{n}" for n, label in enumerate(LABELS)]


def kept(most: int, step: int = 1) -> set[str]:
    chosen = choose_of_each(LABELS[::step], IDS[::step], class_limits(most, Counter(LABELS)), 1, "low_data")
    return {i for i, keep in zip(IDS[::step], chosen, strict=True) if keep}


def test_at_most_so_many_of_each():
    assert Counter(name[0] for name in kept(12)) == {"a": 12, "b": 9}


def test_points_of_a_learning_curve_are_nested():
    assert kept(3) < kept(6) < kept(12)
    assert kept(6) == kept(6, -1)


def test_only_training_images_become_fewer(make_folder):
    source = str(make_folder({"cat": 40, "dog": 40}))
    whole = prepare(DataConfig(source=source), seed=0)
    few = prepare(DataConfig(source=source, per_class=6), seed=0)
    assert few.train.counts() == {"cat": 6, "dog": 6}
    assert set(few.train.ids) < set(whole.train.ids)
    assert (few.val.ids, few.test.ids) == (whole.val.ids, whole.test.ids)
    assert few.report.thinned == len(whole.train) - 12
    assert any("low-data" in note for note in few.report.notes)


def test_the_first_classes(make_folder):
    source = str(make_folder({"cat": 20, "dog": 20, "eel": 20}))
    assert prepare(DataConfig(source=source, max_classes=2), seed=0).train.classes == ("cat", "dog")
    named = DataConfig(source=source, max_classes=2, classes=("eel", "dog", "cat"))
    assert prepare(named, seed=0).train.classes == ("eel", "dog")


@pytest.mark.parametrize(
    ("capacity", "total", "expected"),
    [
        ((50, 50), 20, (10, 10)),
        ((3, 50, 50), 43, (3, 20, 20)),
        ((100, 0, 7, 9), 36, (20, 0, 7, 9)),
        ((5, 5), 200, (5, 5)),
        ((4, 4, 4), 7, (3, 2, 2)),
        ((1, 4, 4), 6, (1, 3, 2)),
        ((), 5, ()),
        ((4, 4), 0, (0, 0)),
    ],
)
def test_shares_are_as_equal_as_they_can_be(capacity, total, expected):
    shares = equal_shares(dict(enumerate(capacity)), total, range(len(capacity)))
    assert tuple(shares.values()) == expected


def test_the_order_decides_who_gets_what_is_left_over():
    assert equal_shares({"a": 4, "b": 4, "c": 4}, 7, ["c", "a", "b"]) == {"a": 2, "b": 2, "c": 3}
    assert equal_shares({"a": 4, "b": 4, "c": 2}, 8, ["c", "b", "a"]) == {"a": 3, "b": 3, "c": 2}
