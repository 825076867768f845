"""k-fold cross-validation: which fold each image is a test image of, whole groups at a time."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from synaug_core.data.report import Split
from synaug_core.data.split import divide
from synaug_core.errors import DataError
from synaug_core.seeds import derive

__all__ = ["Fold", "check_fold", "divide_fold", "fold_of_each"]


@dataclass(frozen=True)
class Fold:
    """One division of a repeated k-fold cross-validation."""

    folds: int
    repetition: int
    number: int
    """From 0 to folds - 1."""


def fold_of_each(labels: Sequence[str], units: Sequence[str], folds: int, seed: int) -> list[int]:
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
        raise DataError(
            f"data.split.folds: {folds} folds cannot be made of {len(number)} images or groups "
            f"with at most {largest} images a class"
        )
    order = sorted(range(len(labels)), key=lambda n: (units[n], labels[n]))
    classes = {name: i for i, name in enumerate(sorted(set(labels)))}
    y = np.array([classes[labels[n]] for n in order])
    groups = np.array([number[units[n]] for n in order])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=derive(seed, "folds") % 2**32)
    found = [0] * len(labels)
    with warnings.catch_warnings():
        # a class with fewer images than folds may yet be dropped; `check_fold` refuses it where it is not
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, test) in enumerate(splitter.split(y, y, groups)):
            for place in test.tolist():
                found[order[place]] = fold
    return found


def divide_fold(labels: Sequence[str], units: Sequence[str], fold: Fold, validation: float, seed: int) -> list[Split]:
    """The side of each image in one fold: its test images, and of the others a share for validation.

    Args:
        labels: class name of each image.
        units: name of what must stay together, for each image.
        fold: which one.
        validation: share of all images.
        seed: root of the shuffles; each repetition divides anew.
    """
    tested = fold_of_each(labels, units, fold.folds, derive(seed, "repetition", fold.repetition))
    sides: list[Split] = ["test"] * len(labels)
    rest = [n for n, number in enumerate(tested) if number != fold.number]
    share = validation * len(labels) / len(rest)
    inner = derive(seed, "fold", fold.repetition, fold.number)
    parts = divide([labels[n] for n in rest], [units[n] for n in rest], {"val": share}, inner)
    for n, side in zip(rest, parts, strict=True):
        sides[n] = side
    return sides


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
    tested = {label for label, side in zip(labels, sides, strict=True) if side == "test"}
    groups = defaultdict(set)
    for label, unit, side in zip(labels, units, sides, strict=True):
        if side is not None:
            groups[label].add(unit)
    if small := [name for name in classes if name not in tested or len(groups[name]) < folds]:
        found = ", ".join(f"{name} ({_amount(images[name], len(groups[name]))})" for name in small)
        raise DataError(
            f"data.split.folds: not each of {folds} folds has a test image of {found}; use fewer folds, or leave out "
            "what is too small (data.classes, or data.small_classes: drop with data.min_per_class above "
            f"{max(images[name] for name in small)})"
        )


def _amount(images: int, groups: int) -> str:
    text = f"{images} image{'' if images == 1 else 's'}"
    return text if groups == images else f"{text} in {groups} group{'' if groups == 1 else 's'}"
