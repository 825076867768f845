from __future__ import annotations

from collections import Counter

import pytest
from sklearn.model_selection import StratifiedGroupKFold

from synaug_core.config import DataConfig, SplitConfig
from synaug_core.data.prepare import prepare_divisions
from synaug_core.data.split import Fold, assign_folds, check_fold, divide_fold
from synaug_core.errors import DataError

LABELS = ["a"] * 40 + ["b"] * 20 + ["c"] * 10
UNITS = [f"u{n // 2:02}" for n in range(70)]


def test_every_image_is_tested_once_and_classes_are_spread():
    found = assign_folds(LABELS, UNITS, 5, 3)
    of_class = {c: Counter(f for f, label in zip(found, LABELS, strict=True) if label == c) for c in "abc"}
    assert of_class == {
        "a": dict.fromkeys(range(5), 8),
        "b": dict.fromkeys(range(5), 4),
        "c": dict.fromkeys(range(5), 2),
    }


def test_units_stay_whole():
    found = assign_folds(LABELS, UNITS, 5, 3)
    assert len(set(zip(UNITS, found, strict=True))) == len(set(UNITS))


def test_neither_order_nor_other_names_matter():
    found = dict(zip(UNITS, assign_folds(LABELS, UNITS, 5, 3), strict=True))
    turned = dict(zip(UNITS[::-1], assign_folds(LABELS[::-1], UNITS[::-1], 5, 3), strict=True))
    assert found == turned
    assert found != dict(zip(UNITS, assign_folds(LABELS, UNITS, 5, 4), strict=True))


def test_sides_of_a_fold():
    tested: Counter[int] = Counter()
    for number in range(5):
        sides = divide_fold(LABELS, UNITS, Fold(5, 0, number), 0.2, 0)
        assert Counter(sides) == {"train": 42, "val": 14, "test": 14}
        assert len(set(zip(UNITS, sides, strict=True))) == len(set(UNITS))
        tested.update(n for n, side in enumerate(sides) if side == "test")
    assert tested == dict.fromkeys(range(70), 1)
    assert divide_fold(LABELS, UNITS, Fold(5, 0, 0), 0.2, 0) != divide_fold(LABELS, UNITS, Fold(5, 1, 0), 0.2, 0)


def test_more_folds_than_images():
    with pytest.raises(DataError, match="6 folds cannot be made of 8 images or groups with at most 4"):
        assign_folds(["a"] * 4 + ["b"] * 4, [str(n) for n in range(8)], 6, 0)


def test_a_class_smaller_than_the_folds_is_in_some_of_them(recwarn):
    labels = ["a"] * 20 + ["b"] * 3
    found = assign_folds(labels, [str(n) for n in range(23)], 5, 0)
    assert len(set(found[20:])) == 3
    assert not recwarn.list


def test_validation_and_folds_must_leave_training_images():
    with pytest.raises(ValueError, match="must leave a part for training"):
        SplitConfig(folds=2, validation=0.5)
    assert SplitConfig(folds=2, validation=0.4, test=0.7).folds == 2


def test_the_share_of_a_test_part_has_no_say_in_folds(make_folder):
    """0.8 + 0.25 would leave nothing to train with; the tenth that a fold tests leaves a tenth."""
    split = SplitConfig(folds=10, validation=0.8, test=0.25)
    config = DataConfig(source=str(make_folder({"cat": 20, "dog": 20})), split=split, small_classes="keep")
    assert [len(f.test) for f in prepare_divisions(config, repetitions=1, seed=0)] == [4] * 10


def test_data_sets_of_a_cross_validation(make_folder):
    config = DataConfig(source=str(make_folder({"cat": 20, "dog": 12})), split=SplitConfig(folds=4, validation=0.2))
    config = config.model_copy(update={"min_per_class": 3})
    found = list(prepare_divisions(config, repetitions=2, seed=0))
    assert len(found) == len({f.digest for f in found}) == 8
    for repetition in (found[:4], found[4:]):
        tested = [i for f in repetition for i in f.test.ids]
        assert len(tested) == len(set(tested)) == 32
    for fold in found:
        sides = [set(s.ids) for s in (fold.train, fold.val, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 32
        assert fold.test.counts() == {"cat": 5, "dog": 3}
    assert [f.digest for f in prepare_divisions(config, repetitions=1, seed=0)] == [f.digest for f in found[:4]]


def test_a_supplied_split_is_not_thrown_together(make_folder, tmp_path):
    root = make_folder({"cat": 8, "dog": 8}, name="pets/train")
    make_folder({"cat": 4, "dog": 4}, name="pets/test", first=20)
    config = DataConfig(source=str(root.parent), split=SplitConfig(folds=2, validation=0.2))
    with pytest.raises(DataError, match=r"come with a split of their own; leave folds out"):
        list(prepare_divisions(config, repetitions=1, seed=0))


def test_a_class_that_is_large_enough_in_some_folds_only(make_folder):
    root = make_folder({"cat": 20, "dog": 7, "eel": 20})
    config = DataConfig(source=str(root), split=SplitConfig(folds=5, validation=0.1), small_classes="drop")
    with pytest.raises(DataError, match=r"large enough in some folds only"):
        list(prepare_divisions(config, repetitions=1, seed=0))


@pytest.mark.parametrize(("small", "folds"), [(3, 5), (8, 10)])
def test_a_class_that_some_folds_could_not_test_is_refused(make_folder, small, folds):
    root = make_folder({"cat": 20, "dog": 20, "eel": small})
    split = SplitConfig(folds=folds, validation=0.1)
    config = DataConfig(source=str(root), split=split, small_classes="keep")
    said = rf"data.split.folds: not each of {folds} folds has a test image of eel \({small} images\); use fewer folds"
    with pytest.raises(DataError, match=rf"^{said}.*data.small_classes: drop with data.min_per_class above {small}\)$"):
        list(prepare_divisions(config, repetitions=1, seed=0))
    dropped = config.model_copy(update={"small_classes": "drop", "min_per_class": small + 1})
    for fold in prepare_divisions(dropped, repetitions=1, seed=0):
        assert fold.test.classes == ("cat", "dog")
        assert min(fold.test.counts().values()) > 0


def test_as_many_images_as_folds_are_enough(make_folder):
    root = make_folder({"cat": 20, "dog": 20, "eel": 5})
    config = DataConfig(source=str(root), split=SplitConfig(folds=5, validation=0.1), small_classes="keep")
    assert [f.test.counts()["eel"] for f in prepare_divisions(config, repetitions=2, seed=0)] == [1] * 10


def test_groups_and_the_assignment_count_too():
    labels, sides = ["a"] * 4 + ["b"] * 4, ["test", "train"] * 4
    check_fold(labels, [str(n) for n in range(8)], sides, ("a", "b"), 4)
    with pytest.raises(DataError, match=r"4 folds has a test image of b \(4 images in 2 groups\);"):
        check_fold(labels, list("01236677"), sides, ("a", "b"), 4)
    with pytest.raises(DataError, match=r"4 folds has a test image of b \(3 images\), c \(1 image\);.*above 3\)"):
        check_fold([*labels, "c"], list("012345678"), [*sides[:4], None, *["train"] * 4], ("a", "b", "c"), 4)
    check_fold([*labels, "c"], list("012345678"), [*sides, "train"], ("a", "b"), 4)


def test_agrees_with_scikit_learn_where_every_image_is_a_unit():
    """As evenly spread as the library's own shuffle of the same labels."""
    units = [f"{n:02}" for n in range(70)]
    ours = assign_folds(LABELS, units, 5, 1)
    theirs = [0] * 70
    for number, (_, rows) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=0).split(LABELS, LABELS, units)
    ):
        for n in rows:
            theirs[n] = number

    def spread(folds):
        return sorted(Counter(zip(folds, LABELS, strict=True)).values())

    assert spread(ours) == spread(theirs)
