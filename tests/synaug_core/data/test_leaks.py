from __future__ import annotations

import numpy as np
import pytest

from synaug_core.data.leaks import find_leaks, name_series
from synaug_core.data.report import Leak
from synaug_core.data.sources.base import Item, RefusedImage

NONE = np.empty((0, 2), np.int64)


def items(*ids: str, group: str | None = None) -> list[Item]:
    return [Item(id=i, label="cat", image=RefusedImage("unread"), group=group) for i in ids]


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("train/cat/v0_f3.jpg", "v0"),
        ("frame12-patch-7.png", "frame12-patch"),
        ("C33P1thinF_IMG_2015_cell_5.png", "C33P1thinF_IMG_2015_cell"),
        ("10_left.jpeg", "10"),
        ("part 4 (2).bmp", "part 4"),
        ("cat/image_0003.jpg", None),
        ("BA_100102.jpg", None),
        ("17.png", None),
        ("test/17", None),
    ],
)
def test_series_of_names(name: str, series: str | None) -> None:
    assert name_series(name) == series


def test_images_of_one_series_on_two_sides_are_counted() -> None:
    listed = items("a/v0_f0.png", "a/v0_f1.png", "a/v1_f0.png", "a/v2_f0.png", "a/v0_f2.png")
    [leak] = find_leaks(listed, ["train", "test", "test", "train", None], np.arange(5), NONE)
    assert leak == Leak(
        clue="name",
        split="test",
        images=1,
        total=2,
        example="a/v0_f1.png",
        training_example="a/v0_f0.png",
        group="v0",
    )
    assert find_leaks(items("v0_f0", "v0_f1", group="v0"), ["train", "test"], np.arange(2), NONE) == ()


def test_related_images_on_two_sides_are_counted() -> None:
    listed = items("a", "b", "c", "d", "e")
    owner = np.array([0, 0, 1, 2, 3])
    leaks = find_leaks(listed, ["test", "test", "train", "val", "train"], owner, np.array([[0, 1], [2, 3], [0, 2]]))
    assert [(leak.split, leak.images, leak.total, leak.example, leak.training_example) for leak in leaks] == [
        ("val", 1, 1, "d", "e"),
        ("test", 2, 2, "a", "c"),
    ]
    assert find_leaks(listed, ["test", "test", None, "val", None], owner, np.array([[0, 1]])) == ()
