"""Which side each image goes to, so that no image, near-duplicate or group stands on two."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synaug_core.config import DataConfig
from synaug_core.data import report, split
from synaug_core.data.duplicates import DuplicateGraph, connected
from synaug_core.data.sources.base import Item
from synaug_core.errors import DataError

__all__ = ["Assigned", "assign"]

_RANK: dict[report.Split | None, int] = {None: -1, "train": 0, "val": 1, "test": 2}
_WORDS: dict[report.Split, str] = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Assigned:
    """For each image its side (None: left out) and group, and the contradictions among them."""

    sides: tuple[report.Split | None, ...]
    groups: tuple[str, ...]
    origin: report.SplitOrigin
    duplicates: tuple[report.Duplicates, ...]
    conflicts: tuple[report.Conflict, ...]
    removed: tuple[report.Removed, ...]


def assign(
    items: Sequence[Item],
    duplicates: DuplicateGraph,
    config: DataConfig,
    seed: int,
    division: split.Fold | split.Draw | None = None,
) -> Assigned:
    """Take the supplied split, or make one, or complete one without validation or test images; or make one of the
    divisions of a cross-validation; or one draw, where the test part is the supplied one or made once, and training and
    validation images are drawn from all others.

    A supplied test or validation set stays as it is, but for validation images that are in the test set too; training
    images that are (nearly) equal to one of a later side, or of its group, are left out. Images that are equal and
    have different labels are left out of training, and of a split made here altogether.

    Raises:
        DataError: a cross-validation is asked of images with test images, or has more folds than images or groups.
    """
    if isinstance(division, split.Draw):
        items = [replace(item, split="train") if item.split == "val" else item for item in items]
    sides: list[report.Split | None] = [item.split for item in items]
    supplied = {item.split for item in items} - {None}
    if isinstance(division, split.Fold) and supplied - {"train"}:
        raise DataError("data.split.folds: these images come with a split of their own; leave folds out to use it")
    removed: dict[int, str] = {}
    contradictions = _contradictions(items, duplicates.owner)
    if config.duplicates.conflicting_labels == "remove":
        for rows in contradictions:
            for n in rows:
                if sides[n] in (None, "train"):
                    removed[n] = "equal to an image with another label"
    if supplied and config.duplicates.across_splits == "remove":
        removed |= {n: why for n, why in _across(items, sides, duplicates).items() if n not in removed}
    for n in removed:
        sides[n] = None
    groups = _units(items, duplicates)
    origin: report.SplitOrigin = "supplied"
    if missing := _missing(supplied, config):
        origin = "completed" if supplied - {"train"} else "made"
        pool = [n for n in range(len(items)) if n not in removed and items[n].split in (None, "train")]
        labels, units = [items[n].label for n in pool], [groups[n] for n in pool]
        for n, side in zip(pool, _new_sides(labels, units, missing, seed, division), strict=True):
            sides[n] = side
    shown_sides = [items[n].split if n in removed else side for n, side in enumerate(sides)]
    return Assigned(
        sides=tuple(sides),
        groups=groups,
        origin=origin,
        duplicates=_duplicates(items, duplicates, shown_sides),
        conflicts=tuple(
            report.Conflict(ids=tuple(items[n].id for n in rows), classes=tuple(items[n].label for n in rows))
            for rows in contradictions
        ),
        removed=tuple(report.Removed(id=items[n].id, reason=removed[n]) for n in sorted(removed)),
    )


def _new_sides(
    labels: Sequence[str],
    units: Sequence[str],
    missing: Mapping[report.Split, float],
    seed: int,
    division: split.Fold | split.Draw | None,
) -> Sequence[report.Split | None]:
    if division is None:
        return split.divide(labels, units, missing, seed)
    if isinstance(division, split.Fold):
        return split.divide_fold(labels, units, division, missing["val"], seed)
    test: list[report.Split | None] = [None] * len(labels)
    if "test" in missing:
        parts = split.divide(labels, units, {"test": missing["test"]}, seed)
        test = ["test" if side == "test" else None for side in parts]
    return split.divide_draw(labels, units, test, missing["val"], division.seed(seed))


def _missing(supplied: set[report.Split | None], config: DataConfig) -> dict[report.Split, float]:
    """Sides that have to be made, with their shares of the images that are not supplied as another side."""
    shares: dict[report.Split, float] = {"test": config.split.test_share, "val": config.split.validation}
    return {side: share for side, share in shares.items() if side not in supplied}


def _contradictions(items: Sequence[Item], owner: NDArray[np.int64]) -> list[list[int]]:
    return [rows for rows in _members(owner) if len({items[n].label for n in rows}) > 1]


def _across(items: Sequence[Item], sides: Sequence[report.Split | None], duplicates: DuplicateGraph) -> dict[int, str]:
    """Images to leave out because they, near-duplicates or others of their group are on a later side."""
    rank = np.array([_RANK[s] for s in sides])
    count = int(duplicates.owner.max()) + 1
    equal = np.full(count, -1)
    np.maximum.at(equal, duplicates.owner, rank)
    near_or_equal = equal.copy()
    np.maximum.at(near_or_equal, duplicates.near[:, 0], equal[duplicates.near[:, 1]])
    np.maximum.at(near_or_equal, duplicates.near[:, 1], equal[duplicates.near[:, 0]])
    latest: dict[str, int] = {}
    for item, side_rank in zip(items, rank, strict=True):
        if item.group is not None:
            latest[item.group] = max(int(side_rank), latest.get(item.group, -1))
    names = {value: _WORDS[side] for side, value in _RANK.items() if side is not None}
    reasons: dict[int, str] = {}
    for n, item in enumerate(items):
        side_rank, owner = rank[n], duplicates.owner[n]
        if equal[owner] > side_rank:
            reasons[n] = f"equal to a {names[int(equal[owner])]} image"
        elif near_or_equal[owner] > side_rank:
            reasons[n] = f"nearly equal to a {names[int(near_or_equal[owner])]} image"
        elif item.group is not None and latest[item.group] > side_rank:
            reasons[n] = f"its group {item.group} has {names[latest[item.group]]} images"
    return reasons


def _units(items: Sequence[Item], duplicates: DuplicateGraph) -> tuple[str, ...]:
    """For each image the name of what must stay together: linked by group, equality or near-equality at any remove.

    The name is the first of its groups' names, or of its images' ids.
    """
    clusters = duplicates.clusters()
    offset = int(clusters.max()) + 1
    numbers: dict[str, int] = {}
    links = [
        (int(cluster), offset + numbers.setdefault(item.group, len(numbers)))
        for cluster, item in zip(clusters, items, strict=True)
        if item.group is not None
    ]
    unit = connected(offset + len(numbers), np.array(links, dtype=np.int64).reshape(-1, 2))[clusters]
    names: dict[int, tuple[bool, str]] = {}
    for number, item in zip(unit.tolist(), items, strict=True):
        candidate = (item.group is None, item.group if item.group is not None else item.id)
        names[number] = min(names.get(number, candidate), candidate)
    return tuple(names[number][1] for number in unit.tolist())


def _duplicates(
    items: Sequence[Item], duplicates: DuplicateGraph, sides: Sequence[report.Split | None]
) -> tuple[report.Duplicates, ...]:
    def describe(kind: report.DuplicateKind, rows: Sequence[int]) -> report.Duplicates:
        return report.Duplicates(
            kind=kind,
            ids=tuple(items[n].id for n in rows),
            classes=tuple(items[n].label for n in rows),
            splits=tuple(sides[n] for n in rows),
        )

    equal = [describe("exact", rows) for rows in _members(duplicates.owner)]
    linked = set(duplicates.near.flatten().tolist())
    near_groups = [
        describe("near", rows) for rows in _members(duplicates.clusters()) if int(duplicates.owner[rows[0]]) in linked
    ]
    return (*equal, *near_groups)


def _members(numbers: NDArray[np.int64]) -> list[list[int]]:
    """Positions that share a number, where there are at least two."""
    positions: Mapping[int, list[int]] = defaultdict(list)
    for n, number in enumerate(numbers.tolist()):
        positions[number].append(n)
    return [rows for rows in positions.values() if len(rows) > 1]
