"""Is there enough of everything to learn from and to judge by?"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

from synaug_core.errors import DataError

__all__ = ["check_sides", "choose_classes", "small_classes", "untested"]


def choose_classes(known: Sequence[str], wanted: Sequence[str] | None, most: int | None = None) -> tuple[str, ...]:
    """The classes to use, in order: those wanted, or all; the first `most` of them.

    Raises:
        DataError: an unknown class, a class twice, or fewer than two.
    """
    if wanted is None:
        chosen = tuple(known)
    else:
        chosen = tuple(unicodedata.normalize("NFC", c) for c in wanted)
        if unknown := [c for c in chosen if c not in known]:
            raise DataError(f"data.classes: no class {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
        if len(set(chosen)) < len(chosen):
            raise DataError(f"data.classes: {', '.join(chosen)} names a class twice")
    if len(chosen) < 2:
        raise DataError(f"only one class, {', '.join(chosen) or 'none'}; at least two are needed")
    return chosen[:most]


def small_classes(train: Mapping[str, int], policy: Literal["refuse", "drop", "keep"], least: int) -> dict[str, int]:
    """Classes to drop, with their training images, for having fewer than `least` of them.

    Raises:
        DataError: there are such classes and they are refused; a kept class has no training image at all;
            dropping leaves fewer than two classes.
    """
    small = {name: count for name, count in train.items() if count < least}
    if policy == "keep":
        if empty := [name for name, count in small.items() if count == 0]:
            raise DataError(
                f"{', '.join(empty)} {'has' if len(empty) == 1 else 'have'} no training image; "
                "add images, or set data.small_classes to drop"
            )
        return {}
    if not small:
        return {}
    found = ", ".join(f"{name} has {count} training image{'' if count == 1 else 's'}" for name, count in small.items())
    if policy == "refuse":
        raise DataError(f"{found}; at least {least} are needed: add images, or set data.small_classes to drop or keep")
    if len(train) - len(small) < 2:
        raise DataError(f"{found}; at least {least} are needed, and without them fewer than two classes are left")
    return small


def check_sides(val: Mapping[str, int], test: Mapping[str, int]) -> list[str]:
    """Lines about classes that cannot be judged.

    Raises:
        DataError: no validation or no test image at all.
    """
    for side, counts in (("validation", val), ("test", test)):
        if not sum(counts.values()):
            raise DataError(f"there are no {side} images; supply some, or add images so that some can be set aside")
    lines = []
    for side, counts in (("validation", val), ("test", test)):
        if empty := [name for name, count in counts.items() if count == 0]:
            lines.append(f"No {side} images of {', '.join(empty)}: figures of {'it' if len(empty) == 1 else 'them'} "
                         f"are undefined there.")  # fmt: skip
    return lines


def untested(test: Mapping[str, int]) -> tuple[str, ...]:
    """A line about the classes without test images, for whoever reads the figures of all classes; none without them."""
    empty = [name for name, count in test.items() if count == 0]
    if not empty:
        return ()
    it = "it" if len(empty) == 1 else "them"
    return (f"no test images of {', '.join(empty)}: nothing is known of {it}, and balanced accuracy leaves {it} out",)
