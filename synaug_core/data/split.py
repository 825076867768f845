"""Division into training, validation and test images, into the folds of a cross-validation, or into one test part and
draws of the rest: by class, whole groups at a time."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synaug_core import errors, seeds
from synaug_core.data.report import Split

__all__ = ["Draw", "Fold", "assign_folds", "check_fold", "divide", "divide_draw", "divide_fold"]


@dataclass(frozen=True)
class Fold:
    """One division of a repeated k-fold cross-validation."""

    folds: int
    repetition: int
    number: int
    """From 0 to folds - 1."""


@dataclass(frozen=True)
class Draw:
    """One draw of training and validation images, from all that are not in the test part."""

    repetition: int

    def seed(self, seed: int) -> int:
        """Root of all that is drawn in this repetition."""
        return seeds.derive(seed, "draw", self.repetition)


def divide(labels: Sequence[str], units: Sequence[str], shares: Mapping[Split, float], seed: int) -> list[Split]:
    """Give each image a side. Images of one unit stay together.

    A class's units are put in an order that depends on the seed, the class and the unit's name alone, and fill its
    sides up to `shares`; so neither the order of the files nor another class changes where an image goes. A side gets
    at least one unit of every class that has enough of them: with two units the first side of `shares` and training
    get one each, with one unit it is training. Units that hold several classes are placed first, largest first, where
    they leave the least squared deviation from the shares; what holds for single classes is then done as far as it
    goes.

    Args:
        labels: class name of each image.
        units: unit name of each image.
        shares: wanted share of the images for each side but training, most important first.
        seed: root of the order.

    Returns:
        The side of each image.
    """
    content: dict[str, Counter[str]] = defaultdict(Counter)
    for label, unit in zip(labels, units, strict=True):
        content[unit][label] += 1
    totals = Counter(labels)
    side_counts: dict[str, Counter[Split]] = {label: Counter() for label in totals}
    side: dict[str, Split] = {}
    mixed_units = [u for u, c in content.items() if len(c) > 1]
    for unit in sorted(mixed_units, key=lambda u: (-content[u].total(), seeds.derive(seed, "split", u), u)):
        side[unit] = _least_deviation(content[unit], side_counts, totals, shares)
        for label, count in content[unit].items():
            side_counts[label][side[unit]] += count
    pure: dict[str, list[str]] = defaultdict(list)
    for unit, unit_counts in content.items():
        if len(unit_counts) == 1:
            pure[next(iter(unit_counts))].append(unit)
    for label, class_units in pure.items():
        class_units.sort(key=lambda u: (seeds.derive(seed, "split", label, u), u))
        sizes = {u: content[u].total() for u in class_units}
        side |= _fill(class_units, sizes, side_counts[label], totals[label], shares)
    return [side[u] for u in units]


def assign_folds(labels: Sequence[str], units: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold that each image is tested in: classes spread evenly, units whole (scikit-learn's StratifiedGroupKFold).

    The result depends on labels, units and seed, not on the order of the images.

    Args:
        labels: class name of each image.
        units: name of what must stay together, for each image.
        folds: number of folds.
        seed: of the shuffle.

    Raises:
        DataError: there are fewer units than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    number = {name: i for i, name in enumerate(sorted(set(units)))}
    largest = max(Counter(labels).values(), default=0)
    if min(len(number), largest) < folds:
        raise errors.DataError(
            f"data.split.folds: {folds} folds cannot be made of {len(number)} images or groups "
            f"with at most {largest} images a class"
        )
    order = sorted(range(len(labels)), key=lambda n: (units[n], labels[n]))
    classes = {name: i for i, name in enumerate(sorted(set(labels)))}
    y = np.array([classes[labels[n]] for n in order])
    groups = np.array([number[units[n]] for n in order])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seeds.derive(seed, "folds") % 2**32)
    fold_numbers = [0] * len(labels)
    with warnings.catch_warnings():
        # a class with fewer images than folds may yet be dropped; `check_fold` refuses it where it is not
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, test) in enumerate(splitter.split(y, y, groups)):
            for place in test.tolist():
                fold_numbers[order[place]] = fold
    return fold_numbers


def divide_fold(labels: Sequence[str], units: Sequence[str], fold: Fold, validation: float, seed: int) -> list[Split]:
    """The side of each image in one fold: its test images, and of the others a share for validation.

    Args:
        labels: class name of each image.
        units: name of what must stay together, for each image.
        fold: which one.
        validation: share of all images.
        seed: root of the shuffles; each repetition divides anew.
    """
    fold_numbers = assign_folds(labels, units, fold.folds, seeds.derive(seed, "repetition", fold.repetition))
    sides: list[Split] = ["test"] * len(labels)
    remaining = [n for n, number in enumerate(fold_numbers) if number != fold.number]
    share = validation * len(labels) / len(remaining)
    inner = seeds.derive(seed, "fold", fold.repetition, fold.number)
    parts = divide([labels[n] for n in remaining], [units[n] for n in remaining], {"val": share}, inner)
    for n, side in zip(remaining, parts, strict=True):
        sides[n] = side
    return sides


def divide_draw(
    labels: Sequence[str], units: Sequence[str], sides: Sequence[Split | None], validation: float, seed: int
) -> list[Split | None]:
    """Divide what is on no side into training and validation images; how many of these are used is said elsewhere.

    Args:
        labels: class name of each image.
        units: name of what must stay together, for each image.
        sides: the side of each image that has one: the test part, the same for all draws.
        validation: share of the others.
        seed: of this draw.
    """
    pool = [n for n, side in enumerate(sides) if side is None]
    parts = divide([labels[n] for n in pool], [units[n] for n in pool], {"val": validation}, seed)
    drawn = list(sides)
    for n, side in zip(pool, parts, strict=True):
        drawn[n] = side
    return drawn


def check_fold(
    labels: Sequence[str], units: Sequence[str], sides: Sequence[Split | None], classes: Collection[str], folds: int
) -> None:
    """Refuse classes that some fold cannot test: the mean over its other classes would be another figure.

    Args:
        labels: class name of each image.
        units: name of what stays together, for each image.
        sides: the side of each image in one fold; None: left out.
        classes: those that are used.
        folds: number of folds.

    Raises:
        DataError: a class has fewer units than folds, or no test image in this one.
    """
    images = Counter(label for label, side in zip(labels, sides, strict=True) if side is not None)
    tested_classes = {label for label, side in zip(labels, sides, strict=True) if side == "test"}
    groups = defaultdict(set)
    for label, unit, side in zip(labels, units, sides, strict=True):
        if side is not None:
            groups[label].add(unit)
    if small := [name for name in classes if name not in tested_classes or len(groups[name]) < folds]:
        amounts = ", ".join(f"{name} ({_amount(images[name], len(groups[name]))})" for name in small)
        raise errors.DataError(
            f"data.split.folds: not each of {folds} folds has a test image of {amounts}; use fewer folds, or leave "
            "out what is too small (data.classes, or data.small_classes: drop with data.min_per_class above "
            f"{max(images[name] for name in small)})"
        )


def _fill(
    order: list[str], sizes: Mapping[str, int], side_counts: Counter[Split], total: int, shares: Mapping[Split, float]
) -> dict[str, Split]:
    """Sides for the units of one class. `side_counts` are the class's images that mixed units have placed already."""
    free = list(order)
    side: dict[str, Split] = {}
    empty: list[Split] = [s for s in shares if not side_counts[s]]
    allowed = len(free) - (0 if side_counts["train"] else 1)
    owed = set(empty[: max(0, allowed)])
    for name, share in shares.items():
        missing = max(int(share * total + 0.5), 1) - side_counts[name]
        owed.discard(name)
        reserve = len(owed) + (0 if side_counts["train"] else 1)
        for unit in list(free):
            if len(free) > reserve and sizes[unit] < 2 * missing:
                side[unit] = name
                missing -= sizes[unit]
                free.remove(unit)
        if not side_counts[name] and name not in side.values() and len(free) > reserve:
            smallest = min(free, key=lambda u: sizes[u])
            side[smallest] = name
            free.remove(smallest)
    return side | dict.fromkeys(free, "train")


def _least_deviation(
    unit: Counter[str], side_counts: Mapping[str, Counter[Split]], totals: Counter[str], shares: Mapping[Split, float]
) -> Split:
    targets: dict[Split, float] = {"train": 1.0 - sum(shares.values()), **shares}

    def added(name: Split) -> float:
        gaps = ((side_counts[c][name] / totals[c] - targets[name], n / totals[c]) for c, n in unit.items())
        return sum((gap + share) ** 2 - gap**2 for gap, share in gaps)

    return min(targets, key=added)


def _amount(images: int, groups: int) -> str:
    text = f"{images} image{'' if images == 1 else 's'}"
    return text if groups == images else f"{text} in {groups} group{'' if groups == 1 else 's'}"
