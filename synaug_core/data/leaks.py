"""Images of a later side of the split that seem to belong to training images: by their looks, or by their names."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synaug_core.data.report import Leak, Split
from synaug_core.data.sources.base import Item

__all__ = ["find_leaks", "name_series"]

_SERIES = re.compile(r"(.*\d.*?)[ ._-]+(?:[^\W\d_]*\d+[^\W\d_]*|\(\d+\)|left|right|[lr])", re.IGNORECASE | re.ASCII)
_FEWEST_BY_NAME = 0.1
"""Share of a side's images from which a series in their names is worth a word."""
_LATER: tuple[Split, ...] = ("val", "test")


def name_series(name: str) -> str | None:
    """What the names of a numbered series begin with: `v0` of `train/cat/v0_f3.jpg`, and also of `v0_f4.jpg`; None
    where a name has a number and nothing that tells one series from another, as `image_0003.jpg`.

    Args:
        name: an image's id.
    """
    stem = name.rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    match = _SERIES.fullmatch(stem)
    return match[1] if match else None


def find_leaks(
    items: Sequence[Item], sides: Sequence[Split | None], owner: NDArray[np.int64], related: NDArray[np.int64]
) -> tuple[Leak, ...]:
    """For validation and test images, how many of them seem to belong to a training image. Images whose group is named
    are none of them: their group is on one side.

    Args:
        items: all images that were read.
        sides: of each; None: left out.
        owner: int64 (n,), for each the number of its set of equal images.
        related: int64 (m, 2), pairs of such numbers that are related.
    """
    rows = {side: [n for n, s in enumerate(sides) if s == side] for side in ("train", *_LATER)}
    ungrouped = {side: [n for n in rows[side] if items[n].group is None] for side in rows}
    training = {int(owner[n]): n for n in reversed(ungrouped["train"])}
    training_alike: dict[int, int] = {}
    for one, another in related.tolist():
        for number, neighbour in ((one, another), (another, one)):
            if neighbour in training:
                training_alike.setdefault(number, training[neighbour])
    series = {s: n for n in reversed(ungrouped["train"]) if (s := name_series(items[n].id)) is not None}
    leaks = []
    for side in _LATER:
        by_look = {n: training_alike[int(owner[n])] for n in ungrouped[side] if int(owner[n]) in training_alike}
        by_name = {n: series[s] for n in ungrouped[side] if (s := name_series(items[n].id)) in series and s is not None}
        if by_look:
            n, partner = next(iter(by_look.items()))
            leaks.append(_leak("look", side, len(by_look), len(rows[side]), items[n], items[partner], "1"))
        if by_name and len(by_name) >= _FEWEST_BY_NAME * len(rows[side]):
            n, partner = next(iter(by_name.items()))
            group = name_series(items[n].id) or ""
            leaks.append(_leak("name", side, len(by_name), len(rows[side]), items[n], items[partner], group))
    return tuple(leaks)


def _leak(clue: str, side: Split, images: int, total: int, item: Item, partner: Item, group: str) -> Leak:
    return Leak.model_validate(
        {"clue": clue, "split": side, "images": images, "total": total}
        | {"example": item.id, "training_example": partner.id, "group": group}
    )
