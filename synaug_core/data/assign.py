"""Which side each image goes to, so that no image, near-duplicate, related image or group stands on two."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synaug_core.config import DataConfig
from synaug_core.data import leaks, report, split
from synaug_core.data.duplicates import DuplicateGraph, connected
from synaug_core.data.related import join_nearest
from synaug_core.data.sources.base import Item
from synaug_core.errors import DataError

__all__ = ["Assigned", "assign"]

_RANK: dict[report.Split | None, int] = {None: -1, "train": 0, "val": 1, "test": 2}
_WORDS: dict[report.Split, str] = {"train": "training", "val": "validation", "test": "test"}
_FEW, _SHARE = 12, 0.05
"""Images that related ones may be joined to in any set, and the share of the divided images in larger ones."""


@dataclass(frozen=True)
class Assigned:
    """For each image its side (None: left out) and group, and the contradictions among them."""

    sides: tuple[report.Split | None, ...]
    groups: tuple[str, ...]
    origin: report.SplitOrigin
    duplicates: tuple[report.Duplicates, ...]
    conflicts: tuple[report.Conflict, ...]
    removed: tuple[report.Removed, ...]
    leaks: tuple[report.Leak, ...]


def assign(
    items: Sequence[Item],
    duplicates: DuplicateGraph,
    related: NDArray[np.int64],
    config: DataConfig,
    seed: int,
    division: split.Fold | split.Draw | None = None,
) -> Assigned:
    """Take the supplied split, or make one, or complete one without validation or test images; or make one of the
    divisions of a cross-validation; or one draw, where the test part is the supplied one or made once, and training and
    validation images are drawn from all others.

    A supplied test or validation set stays as it is, but for validation images that are in the test set too; training
    images that are (nearly) equal to one of a later side, or of its group, are left out. Images that are equal and
    have different labels are left out of training, and of a split made here altogether. Related images are kept
    together where they are divided here; nothing is left out for them.

    Args:
        items: all images that were read.
        duplicates: which of them are equal, and nearly so.
        related: int64 (m, 2), pairs of numbers of sets of equal images that are related, the nearest first.
        config: what is wanted.
        seed: root of the order in which sides are filled.
        division: a fold or a draw; None: one split.

    Raises:
        DataError: a cross-validation is asked of images with test images, or has more folds than images or groups.
    """
    if isinstance(division, split.Draw):
        items = [replace(item, split="train") if item.split == "val" else item for item in items]
    sides: list[report.Split | None] = [item.split for item in items]
    supplied = {item.split for item in items} - {None}
    if isinstance(division, split.Fold) and supplied - {"train"}:
        raise DataError("data.split.folds: these images come with a split of their own; leave folds out to use it")
    removed: dict[int, report.Removed] = {}
    contradictions = _contradictions(items, duplicates.owner)
    if config.duplicates.conflicting_labels == "remove":
        for rows in contradictions:
            for n in rows:
                if sides[n] in (None, "train"):
                    removed[n] = report.Removed(id=items[n].id, reason="equal to an image with another label")
    if supplied and config.duplicates.across_splits == "remove":
        removed |= {n: out for n, out in _across(items, sides, duplicates).items() if n not in removed}
    for n in removed:
        sides[n] = None
    units = _units(items, duplicates)
    origin: report.SplitOrigin = "supplied"
    related_groups: list[list[int]] = []
    if missing := _missing(supplied, config):
        origin = "completed" if supplied - {"train"} else "made"
        pool = [n for n in range(len(items)) if n not in removed and items[n].split in (None, "train")]
        fewest = division.folds if isinstance(division, split.Fold) else len(missing) + 1
        joined = _join_related(items, pool, units, duplicates.owner, related, fewest)
        related_groups, units = _merged(units, joined), joined
        names = _names(items, units)
        labels, pool_units = [items[n].label for n in pool], [names[n] for n in pool]
        for n, side in zip(pool, _new_sides(labels, pool_units, missing, seed, division), strict=True):
            sides[n] = side
    shown_sides = [items[n].split if n in removed else side for n, side in enumerate(sides)]
    return Assigned(
        sides=tuple(sides),
        groups=_names(items, units),
        origin=origin,
        duplicates=_duplicates(items, duplicates, related_groups, shown_sides),
        conflicts=tuple(
            report.Conflict(ids=tuple(items[n].id for n in rows), classes=tuple(items[n].label for n in rows))
            for rows in contradictions
        ),
        removed=tuple(removed[n] for n in sorted(removed)),
        leaks=leaks.find_leaks(items, sides, duplicates.owner, related),
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


def _across(
    items: Sequence[Item], sides: Sequence[report.Split | None], duplicates: DuplicateGraph
) -> dict[int, report.Removed]:
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
    left_out: dict[int, report.Removed] = {}
    for n, item in enumerate(items):
        side_rank, owner = rank[n], duplicates.owner[n]
        if equal[owner] > side_rank:
            left_out[n] = report.Removed(id=item.id, reason=f"equal to a {names[int(equal[owner])]} image")
        elif near_or_equal[owner] > side_rank:
            later = names[int(near_or_equal[owner])]
            left_out[n] = report.Removed(id=item.id, reason=f"nearly equal to a {later} image")
        elif item.group is not None and latest[item.group] > side_rank:
            reason = f"of a group that has {names[latest[item.group]]} images"
            left_out[n] = report.Removed(id=item.id, reason=reason, group=item.group)
    return left_out


def _units(items: Sequence[Item], duplicates: DuplicateGraph) -> NDArray[np.int64]:
    """For each image the number of what must stay together: linked by group, equality or near-equality at any
    remove."""
    clusters = duplicates.clusters()
    offset = int(clusters.max()) + 1
    numbers: dict[str, int] = {}
    links = [
        (int(cluster), offset + numbers.setdefault(item.group, len(numbers)))
        for cluster, item in zip(clusters, items, strict=True)
        if item.group is not None
    ]
    return connected(offset + len(numbers), np.array(links, dtype=np.int64).reshape(-1, 2))[clusters]


def _join_related(
    items: Sequence[Item],
    pool: Sequence[int],
    units: NDArray[np.int64],
    owner: NDArray[np.int64],
    related: NDArray[np.int64],
    fewest: int,
) -> NDArray[np.int64]:
    """Units with those of related images joined, where all of them are divided here and no group is named.

    A class that would have fewer than `fewest` units by this, so that some side or fold would be without it, keeps its
    images as they are: a guess must not make a data set useless.
    """
    in_pool = np.zeros(len(units), dtype=bool)
    in_pool[list(pool)] = True
    is_free = in_pool & np.array([item.group is None for item in items], dtype=bool)
    free_units = np.setdiff1d(units[is_free], units[~is_free])
    unit_of = np.zeros(int(owner.max()) + 1, dtype=np.int64)
    unit_of[owner] = units
    pairs = unit_of[related].reshape(-1, 2)
    pairs = pairs[np.isin(pairs, free_units).all(axis=1)]
    labels = np.array([item.label for item in items])
    most = max(_FEW, int(_SHARE * len(pool)))
    while True:
        joined = join_nearest(units, pairs, most)
        short = [name for name in np.unique(labels[in_pool]) if _is_short(name, labels, in_pool, units, joined, fewest)]
        if not short:
            return joined
        pairs = pairs[~np.isin(pairs, units[np.isin(labels, short)]).any(axis=1)]


def _is_short(
    label: str,
    labels: NDArray[np.str_],
    in_pool: NDArray[np.bool_],
    units: NDArray[np.int64],
    joined: NDArray[np.int64],
    fewest: int,
) -> bool:
    """Whether a class has too few units only because some were joined."""
    rows = in_pool & (labels == label)
    return len(np.unique(joined[rows])) < min(fewest, len(np.unique(units[rows])))


def _merged(units: NDArray[np.int64], joined: NDArray[np.int64]) -> list[list[int]]:
    """Positions of each joined unit that was several."""
    return [rows for rows in _members(joined) if len(set(units[rows].tolist())) > 1]


def _names(items: Sequence[Item], units: NDArray[np.int64]) -> tuple[str, ...]:
    """For each image the name of its unit: the first of its groups' names, or of its images' ids."""
    names: dict[int, tuple[bool, str]] = {}
    for number, item in zip(units.tolist(), items, strict=True):
        candidate = (item.group is None, item.group if item.group is not None else item.id)
        names[number] = min(names.get(number, candidate), candidate)
    return tuple(names[number][1] for number in units.tolist())


def _duplicates(
    items: Sequence[Item],
    duplicates: DuplicateGraph,
    related_groups: Sequence[Sequence[int]],
    sides: Sequence[report.Split | None],
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
    return (*equal, *near_groups, *(describe("related", rows) for rows in related_groups))


def _members(numbers: NDArray[np.int64]) -> list[list[int]]:
    """Positions that share a number, where there are at least two."""
    positions: Mapping[int, list[int]] = defaultdict(list)
    for n, number in enumerate(numbers.tolist()):
        positions[number].append(n)
    return [rows for rows in positions.values() if len(rows) > 1]
