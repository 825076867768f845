from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from synaug_core.data.split import divide

SHARES = {"test": 0.25, "val": 0.15}


def singles(**counts: int) -> tuple[list[str], list[str]]:
    labels = [c for c, n in counts.items() for _ in range(n)]
    return labels, [f"{label}/{i}" for i, label in enumerate(labels)]


def per_class(labels, sides) -> dict[str, Counter]:
    return {c: Counter(s for label, s in zip(labels, sides, strict=True) if label == c) for c in set(labels)}


def test_shares_hold_in_every_class():
    labels, units = singles(a=100, b=40, c=20)
    found = per_class(labels, divide(labels, units, SHARES, 0))
    assert found["a"] == {"test": 25, "val": 15, "train": 60}
    assert found["b"] == {"test": 10, "val": 6, "train": 24}
    assert found["c"] == {"test": 5, "val": 3, "train": 12}


def test_small_classes():
    labels, units = singles(one=1, two=2, three=3, four=4)
    found = per_class(labels, divide(labels, units, SHARES, 0))
    assert found["one"] == {"train": 1}
    assert found["two"] == {"train": 1, "test": 1}
    assert found["three"] == {"train": 1, "test": 1, "val": 1}
    assert found["four"] == {"train": 2, "test": 1, "val": 1}


def test_seeds_differ_and_repeat():
    labels, units = singles(a=50, b=50)
    runs = [divide(labels, units, SHARES, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_neither_order_nor_another_class_matters():
    labels, units = singles(a=30, b=11)
    before = dict(zip(units, divide(labels, units, SHARES, 3), strict=True))
    more = [*zip(labels, units, strict=True), *((("c", f"c/{i}")) for i in range(9))][::-1]
    after = divide([m[0] for m in more], [m[1] for m in more], SHARES, 3)
    assert before.items() <= dict(zip([m[1] for m in more], after, strict=True)).items()


def test_a_huge_unit_stays_in_training():
    labels = ["a"] * 60
    units = ["big"] * 50 + [str(i) for i in range(10)]
    for seed in range(20):
        sides = divide(labels, units, SHARES, seed)
        assert sides[0] == "train"
        assert Counter(sides)["test"] >= 1
        assert Counter(sides)["val"] >= 1


def test_mixed_units_come_near_the_shares():
    """40 patients with images of three classes each: only whole patients can move."""
    labels, units = [], []
    for patient in range(40):
        for label, count in (("a", 3 + patient % 4), ("b", 1 + patient % 2), ("c", 1)):
            labels += [label] * count
            units += [f"p{patient}"] * count
    found = per_class(labels, divide(labels, units, SHARES, 0))
    for counts in found.values():
        total = counts.total()
        assert abs(counts["test"] / total - 0.25) < 0.06
        assert abs(counts["val"] / total - 0.15) < 0.06


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60),
    seed=st.integers(0, 5),
    shares=st.sampled_from([SHARES, {"val": 0.15}, {"test": 0.4, "val": 0.4}]),
)
def test_units_stay_together_and_every_class_keeps_training(rows, seed, shares):
    labels, units = [r[0] for r in rows], [str(r[1]) for r in rows]
    sides = divide(labels, units, shares, seed)
    of_unit: dict[str, set[str]] = {}
    for unit, side in zip(units, sides, strict=True):
        of_unit.setdefault(unit, set()).add(side)
    assert all(len(s) == 1 for s in of_unit.values())
    classes_of = {u: {label for label, v in rows if str(v) == u} for u in of_unit}
    for label in set(labels):
        own = {u for u, c in classes_of.items() if label in c}
        if all(len(classes_of[u]) == 1 for u in own):
            found = {next(iter(of_unit[u])) for u in own}
            assert "train" in found
            assert len(found) == min(len(own), 1 + len(shares))
