"""Is there enough of everything to learn from and to judge by?"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence

from synaug_core.config.data import SmallClasses
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


def small_classes(
    train: Mapping[str, int],
    images: Mapping[str, int],
    policy: SmallClasses,
    least: int,
    why: Callable[[Container[str]], Sequence[str]] = lambda _: (),
) -> dict[str, int]:
    """Classes to drop, with their training images, for having fewer than `least` of them.

    Args:
        train: class -> its training images.
        images: class -> its images on all sides and on none: what the user counts in the source.
        policy: what happens to a small class.
        least: training images that a class needs.
        why: sentences on why images of some classes were left out of training.

    Raises:
        DataError: there are such classes and they are refused; a kept class has no training image at all;
            dropping leaves fewer than two classes.
    """
    small = {name: count for name, count in train.items() if count < least}
    if policy == "keep":
        if empty := [name for name, count in small.items() if count == 0]:
            none = f"{', '.join(map(repr, empty))} {'has' if len(empty) == 1 else 'have'} no training image"
            raise DataError(f"{'; '.join([none, *why(empty)])}: add images, or set data.small_classes to drop")
        return {}
    if not small:
        return {}
    found = [_of_which(name, count, images[name]) for name, count in small.items()]
    said = "; ".join([*found, f"at least {least} training images are needed", *why(small)])
    if policy == "refuse":
        raise DataError(f"{said}: add images, or set data.small_classes to drop or keep")
    if len(train) - len(small) < 2:
        raise DataError(f"{said}: without such classes fewer than two are left")
    return small


def _of_which(name: str, train: int, images: int) -> str:
    if images == 0:
        return f"{name!r} has no images"
    has = f"{name!r} has {images} image{'' if images == 1 else 's'}"
    if train == images:
        return f"{has}, all for training"
    return f"{has}, of which {train or 'none'} {'is' if train < 2 else 'are'} for training"


def check_sides(
    val: Mapping[str, int], test: Mapping[str, int], why: Callable[[], Sequence[str]] = lambda: ()
) -> list[str]:
    """Lines about classes that cannot be judged.

    Args:
        val: class -> its validation images.
        test: class -> its test images.
        why: sentences on why validation images were left out; test images never are.

    Raises:
        DataError: no validation or no test image at all.
    """
    for side, counts in (("validation", val), ("test", test)):
        if not sum(counts.values()):
            said = "; ".join([f"there are no {side} images", *(why() if side == "validation" else ())])
            raise DataError(f"{said}; supply some, or add images so that some can be set aside")
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
