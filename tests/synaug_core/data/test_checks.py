from __future__ import annotations

import pytest

from synaug_core.data.checks import check_sides, choose_classes, small_classes
from synaug_core.errors import DataError


def test_choose_classes():
    assert choose_classes(["a", "b", "c"], None) == ("a", "b", "c")
    assert choose_classes(["a", "b", "c"], ["c", "a"]) == ("c", "a")
    for wanted, message in (
        (["a", "x"], "no class 'x'; there are a, b, c"),
        (["a", "a"], "names a class twice"),
        (["a"], "only one class, a; at least two"),
    ):
        with pytest.raises(DataError, match=message):
            choose_classes(["a", "b", "c"], wanted)


def test_small_classes_are_refused_by_name_and_count():
    with pytest.raises(DataError) as error:
        small_classes({"BASOPHIL": 1, "EOSINOPHIL": 50}, {"BASOPHIL": 3, "EOSINOPHIL": 80}, "refuse", 5)
    assert str(error.value) == (
        "'BASOPHIL' has 3 images, of which 1 is for training; at least 5 training images are needed: "
        "add images, or leave out what is too small: --set data.small_classes=drop (or keep it: "
        "--set data.small_classes=keep)"
    )
    train, images = {"a": 0, "b": 0, "c": 4, "d": 1, "e": 5}, {"a": 0, "b": 2, "c": 7, "d": 1, "e": 5}
    with pytest.raises(DataError) as error:
        small_classes(train, images, "refuse", 5, lambda names: [f"why {', '.join(names)}"])
    assert str(error.value).startswith(
        "'a' has no images; 'b' has 2 images, of which none is for training; 'c' has 7 images, of which 4 are for "
        "training; 'd' has 1 image; at least 5 training images are needed; why a, b, c, d: add "
    )


def test_small_classes_are_dropped_or_kept():
    counts = {"a": 1, "b": 50, "c": 5}
    assert small_classes(counts, counts, "drop", 5) == {"a": 1}
    assert small_classes(counts, counts, "keep", 5) == {}
    with pytest.raises(DataError, match="fewer than two are left"):
        small_classes({"a": 1, "b": 9}, {"a": 2, "b": 9}, "drop", 5)
    with pytest.raises(DataError, match="'a' has no training image: add"):
        small_classes({"a": 0, "b": 9}, {"a": 2, "b": 9}, "keep", 5)


def test_sides():
    assert check_sides({"a": 1, "b": 1}, {"a": 1, "b": 1}) == []
    assert check_sides({"a": 1, "b": 0}, {"a": 1, "b": 1}) == [
        "No validation images of b: figures of it are undefined there."
    ]
    for val, test, side in (({"a": 0}, {"a": 1}, "validation"), ({"a": 1}, {"a": 0}, "test")):
        with pytest.raises(DataError, match=f"there are no {side} images"):
            check_sides(val, test)


def test_classes_without_test_images_are_told_with_what_that_means():
    assert check_sides({"a": 1, "b": 2, "c": 1}, {"a": 0, "b": 2, "c": 1}) == [
        "No test images of a: performance on it is unknown, and balanced accuracy leaves it out."
    ]
    assert check_sides({"a": 1, "b": 2, "c": 1}, {"a": 0, "b": 2, "c": 0}) == [
        "No test images of a, c: performance on them is unknown, and balanced accuracy leaves them out."
    ]
