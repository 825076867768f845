from __future__ import annotations

import json
from collections import Counter

import pytest
import torch

from synaug_core.data.imageset import ImageSet
from synaug_core.errors import DataError
from synaug_core.turing.design import choose, order


def images(counts: dict[str, int], kind: str, parents: int = 0) -> ImageSet:
    names = tuple(counts)
    labels = torch.tensor([i for i, n in enumerate(counts.values()) for _ in range(n)], dtype=torch.int64)
    n = len(labels)
    each = tuple(f"{kind} {names[int(c)]} {i}" for i, c in enumerate(labels))
    origin = json.dumps({"parents": [f"real {c} {i}" for c in names for i in range(parents)]})
    return ImageSet(torch.zeros(n, 1, 4, 4, dtype=torch.uint8), labels, names, each, each, (origin,) * n)


def test_half_are_real_in_every_class() -> None:
    train, made = images({"a": 30, "b": 4, "c": 9, "d": 5}, "real"), images({"a": 50, "b": 9, "c": 0, "d": 50}, "made")
    design = choose(train, made, images=40, seed=1)
    counts = Counter((item.class_name, item.synthetic) for item in design.items)
    assert counts == {("a", True): 11, ("a", False): 11, ("b", True): 4, ("b", False): 4} | {
        ("d", True): 5,
        ("d", False): 5,
    }
    assert len({(item.synthetic, item.id) for item in design.items}) == 40
    for item in design.items:
        source = made if item.synthetic else train
        assert source.ids[item.row] == item.id
        assert source.classes[int(source.labels[item.row])] == item.class_name


def test_seeds_draw_other_images_and_raters_see_another_order() -> None:
    train, made = images({"a": 50}, "real"), images({"a": 50}, "made")
    one, same, other = (choose(train, made, images=20, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.digest == same.digest != other.digest
    assert order(one, "Ann") == order(same, "Ann") != order(one, "Bo")
    assert sorted(order(one, "Ann")) == list(range(20))


def test_the_order_tells_nothing() -> None:
    design = choose(images({"a": 50}, "real"), images({"a": 50}, "made"), images=100, seed=0)
    first = [sum(design.items[i].synthetic for i in order(design, f"rater {r}")[:50]) for r in range(40)]
    assert 23 < sum(first) / len(first) < 27
    assert len(set(first)) > 3


def test_parents_come_last() -> None:
    made = images({"a": 9}, "made", parents=6)
    design = choose(images({"a": 10}, "real"), made, images=8, seed=0)
    shown = {item.id for item in design.items if not item.synthetic}
    assert shown == {"real a 6", "real a 7", "real a 8", "real a 9"}
    assert design.parents == 0
    assert choose(images({"a": 10}, "real"), made, images=14, seed=0).parents == 3


def test_there_must_be_something_to_show() -> None:
    with pytest.raises(DataError, match="no class with both"):
        choose(images({"a": 3, "b": 0}, "real"), images({"a": 0, "b": 3}, "made"), images=10, seed=0)
    assert len(choose(images({"a": 3}, "real"), images({"a": 3}, "made"), images=3, seed=0).items) == 2
