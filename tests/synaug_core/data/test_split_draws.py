"""Draws: one test part, and training and validation images drawn anew from the rest in each repetition."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from synaug_core.config import DataConfig, SplitConfig
from synaug_core.data.prepare import Prepared, prepare, prepare_divisions
from synaug_core.data.split import divide, divide_draw
from synaug_core.errors import DataError

LABELS = ["a"] * 40 + ["b"] * 20
UNITS = [f"u{n // 2:02}" for n in range(60)]


def drawn(source: object, repetitions: int = 3, seed: int = 0, **options: object) -> list[Prepared]:
    values = {"split": SplitConfig(draws=True, validation=0.25), "per_class": {"dog": 3, "default": 6}} | options
    config = DataConfig.model_validate({"source": str(source), "min_per_class": 2} | values)
    return list(prepare_divisions(config, repetitions=repetitions, seed=seed, hold_back=True))


def ids(*sets: object) -> set[str]:
    return {i for images in sets for i in images.ids}  # type: ignore[attr-defined]


def test_units_stay_whole_and_the_test_part_stays():
    test = [side if side == "test" else None for side in divide(LABELS, UNITS, {"test": 0.5}, 0)]
    seen = set()
    for seed in range(4):
        sides = divide_draw(LABELS, UNITS, test, 0.3, seed)
        assert [side == "test" for side in sides] == [side == "test" for side in test]
        assert len(set(zip(UNITS, sides, strict=True))) == len(set(UNITS))
        assert Counter(sides) == {"test": 30, "train": 22, "val": 8}
        seen.add(tuple(sides))
    assert len(seen) == 4


def test_each_draw_has_its_own_images_and_all_the_one_test_part(make_folder):
    found = drawn(make_folder({"cat": 40, "dog": 24}))
    assert len({p.digest for p in found}) == 3
    assert {p.test.ids for p in found} == {found[0].test.ids}
    assert found[0].test.counts() == {"cat": 20, "dog": 12}
    for p in found:
        assert p.train.counts() == {"cat": 6, "dog": 3}
        assert p.val.counts() == {"cat": 2, "dog": 1}
        parts = [ids(p.train), ids(p.val), ids(p.test), ids(p.held_back)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert p.held_back.counts() == {"cat": 9, "dog": 6}
        assert p.report.notes == ("15 training images left out to make the long tail or the low-data set.",)
    assert len({p.train.ids for p in found}) == 3


def test_every_image_outside_the_test_part_is_drawn_at_times(make_folder):
    found = drawn(make_folder({"cat": 12, "dog": 12}), repetitions=30)
    pool = {f"{c}/{n}.png" for c in ("cat", "dog") for n in range(12)} - ids(found[0].test)
    assert len(pool) == 12
    assert ids(*(p.train for p in found)) == ids(*(p.val for p in found)) == pool


def test_a_draw_depends_on_its_number_and_the_seed_alone(make_folder):
    root = make_folder({"cat": 20, "dog": 20})
    found, other = drawn(root), drawn(root, seed=1)
    assert [p.digest for p in drawn(root, repetitions=2)] == [p.digest for p in found[:2]]
    assert found[0].digest != other[0].digest
    assert found[0].test.ids != other[0].test.ids


def test_points_of_a_learning_curve_are_nested_in_each_draw(make_folder):
    root = make_folder({"cat": 40, "dog": 40})
    few, more = drawn(root, per_class=4), drawn(root, per_class=8)
    for small, large in zip(few, more, strict=True):
        assert ids(small.train) < ids(large.train)
        assert ids(small.val) <= ids(large.val)
        assert small.test.ids == large.test.ids


def test_groups_and_near_duplicates_stay_on_one_side(make_folder, tmp_path):
    root = make_folder({"cat": 40, "dog": 40})
    rows = [f"{c}/{n}.png,{c[0]}{n // 4}" for c in ("cat", "dog") for n in range(40)]
    (tmp_path / "meta.csv").write_text("\n".join(["id,group", *rows]))
    for p in drawn(root, metadata=str(tmp_path / "meta.csv")):
        groups = [set(part.groups) for part in (p.train, p.val, p.test)]
        assert not any(a & b for a, b in combinations(groups, 2))
        assert not set(p.held_back.groups) & (groups[1] | groups[2])
        assert p.train.counts() == {"cat": 6, "dog": 3}


def test_a_supplied_test_part_is_the_one_and_supplied_validation_images_are_drawn_too(make_folder):
    root = make_folder({"cat": 16, "dog": 16}, name="pets/train")
    make_folder({"cat": 8, "dog": 8}, name="pets/val", first=50)
    make_folder({"cat": 5, "dog": 5}, name="pets/test", first=90)
    found = drawn(root.parent, repetitions=6)
    for p in found:
        assert {i.split("/")[0] for i in p.test.ids} == {"test"}
        assert p.report.split == "completed"
    assert {i.split("/")[0] for p in found for i in p.train.ids} == {"train", "val"}


def test_a_draw_that_takes_most_of_the_images_says_so(make_folder):
    [p] = drawn(make_folder({"cat": 40, "dog": 8}), repetitions=1)
    assert p.report.notes[-1] == (
        "Each draw takes more than half of the images that are no test images of dog (4 of 4): the repetitions are "
        "more alike than with fresh images."
    )


def test_a_long_tail_can_be_drawn(make_folder):
    found = drawn(make_folder({"cat": 40, "dog": 40}), per_class=None, long_tail=5.0)
    assert [p.train.counts() for p in found] == [{"cat": 15, "dog": 3}] * 3
    assert len({p.train.of_class("dog").ids for p in found}) == 3


def test_numbers_by_class_without_draws(make_folder):
    root = make_folder({"cat": 20, "dog": 20, "eel": 20})
    config = DataConfig(source=str(root), per_class={"dog": 5, "eel": 7})
    p = prepare(config, seed=0, hold_back=True)
    assert p.train.counts() == {"cat": 12, "dog": 5, "eel": 7}
    assert p.held_back.counts() == {"cat": 0, "dog": 7, "eel": 5}
    assert len(prepare(config, seed=0).held_back) == 0
    with pytest.raises(
        DataError, match=r"^data.per_class: no class 'cow'; there are cat, dog, eel, and default stands"
    ):
        prepare(config.model_copy(update={"per_class": {"cow": 3, "default": 9}}), seed=0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"split": {"draws": True}}, "split.draws: say how many training images each repetition draws"),
        ({"split": {"draws": True, "folds": 3}, "per_class": 5}, "folds and draws are two designs; choose one"),
        ({"per_class": {"cat": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_go_together(values, words):
    with pytest.raises(ValueError, match=words):
        DataConfig.model_validate(values)


def test_the_share_of_the_test_part():
    assert (SplitConfig().test_share, SplitConfig(draws=True).test_share, SplitConfig(test=0.3).test_share) == (
        0.25, 0.5, 0.3,
    )  # fmt: skip
    assert SplitConfig(draws=True, test=0.9, validation=0.5).test_share == 0.9
