"""Is there enough of everything to learn from and to judge by?"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence

from synaug_core.config.data import SmallClasses
from synaug_core.data.report import Removed, Split
from synaug_core.data.sources.base import Item
from synaug_core.errors import DataError

__all__ = ["check_sides", "choose_classes", "small_classes", "why_left_out", "why_together"]

_FEW_GROUPS = 3
_DROP, _KEEP = "--set data.small_classes=drop", "--set data.small_classes=keep"


def choose_classes(
    available: Sequence[str], requested: Sequence[str] | None, most: int | None = None
) -> tuple[str, ...]:
    """Choose the classes to use, in order: the requested ones, or all; the first `most` of them.

    Raises:
        DataError: an unknown class, a class twice, or fewer than two.
    """
    if requested is None:
        class_names = tuple(available)
    else:
        class_names = tuple(unicodedata.normalize("NFC", c) for c in requested)
        if unknown := [c for c in class_names if c not in available]:
            nearest = [next(iter(difflib.get_close_matches(c, available, 1, 0.5)), None) for c in unknown]
            meant = [c for c in nearest if c is not None and c not in class_names]
            hint = f"; is {', '.join(meant)} meant?" if meant else ""
            raise DataError(
                f"data.classes: no class {', '.join(map(repr, unknown))}; there are {', '.join(available)}{hint}"
            )
        if len(set(class_names)) < len(class_names):
            raise DataError(f"data.classes: {', '.join(class_names)} names a class twice")
    if len(class_names) < 2:
        raise DataError(f"only one class, {', '.join(class_names) or 'none'}; at least two are needed")
    return class_names[:most]


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
            raise DataError(f"{'; '.join([none, *why(empty)])}: add images, or leave out what is too small: {_DROP}")
        return {}
    if not small:
        return {}
    counts = [_of_which(name, count, images[name]) for name, count in small.items()]
    message = "; ".join([*counts, f"at least {least} training images are needed", *why(small)])
    if policy == "refuse":
        raise DataError(f"{message}: add images, or leave out what is too small: {_DROP} (or keep it: {_KEEP})")
    if len(train) - len(small) < 2:
        raise DataError(f"{message}: without such classes fewer than two are left")
    return small


def _of_which(name: str, train: int, images: int) -> str:
    if images == 0:
        return f"{name!r} has no images"
    has = f"{name!r} has {images} image{'' if images == 1 else 's'}"
    if train == images:
        return has
    return f"{has}, of which {train or 'none'} {'is' if train < 2 else 'are'} for training"


def check_sides(
    val: Mapping[str, int], test: Mapping[str, int], why: Callable[[], Sequence[str]] = lambda: ()
) -> list[str]:
    """List the classes that cannot be validated or tested, a line each.

    Args:
        val: class -> its validation images.
        test: class -> its test images.
        why: sentences on why images are missing there.

    Raises:
        DataError: no validation or no test image at all.
    """
    for side, counts in (("validation", val), ("test", test)):
        if not sum(counts.values()):
            message = "; ".join([f"there are no {side} images", *why()])
            raise DataError(f"{message}; supply some, or add images so that some can be set aside")
    lines = []
    if empty := [name for name, count in val.items() if count == 0]:
        pronoun = "it" if len(empty) == 1 else "them"
        lines.append(f"No validation images of {', '.join(empty)}: figures of {pronoun} are undefined there.")
    return lines + _untested(test)


def _untested(test: Mapping[str, int]) -> list[str]:
    """A line about the classes without test images, for whoever reads the figures of all classes; none without them."""
    empty = [name for name, count in test.items() if count == 0]
    if not empty:
        return []
    pronoun = "it" if len(empty) == 1 else "them"
    consequence = f"performance on {pronoun} is unknown, and balanced accuracy leaves {pronoun} out"
    return [f"No test images of {', '.join(empty)}: {consequence}."]


def why_together(groups: Sequence[str]) -> list[str]:
    """A sentence, without its full stop, where one group holds so many images that no side can be made without it.

    Args:
        groups: what each image has to stay together with.
    """
    group, count = max(Counter(groups).items(), key=lambda pair: pair[1])
    if len(set(groups)) >= _FEW_GROUPS and count <= len(groups) / 2:
        return []
    return [
        f"{count} of {len(groups)} images are in one group ({group}) of {len(set(groups))}, and a group stays on one "
        "side"
    ]


def why_left_out(
    items: Sequence[Item],
    removed: Sequence[Removed],
    classes: Container[str],
    sides: Container[Split | None],
    word: str,
) -> list[str]:
    """One sentence, without its full stop, for each kind of reason, the commonest first.

    Args:
        items: all images that were read.
        removed: those of them that were left out, and why.
        classes: only images of these classes are told of.
        sides: only images supplied for these sides are; None: for no side.
        word: what such an image is called, such as `training`.
    """
    left_out = {r.id: r for r in removed}
    counts: Counter[str] = Counter()
    groups: dict[str, str] = {}
    for item in items:
        out = left_out.get(item.id)
        if out is None or item.label not in classes or item.split not in sides:
            continue
        counts[out.reason] += 1
        if out.group is not None:
            groups.setdefault(out.reason, out.group)
    return [_sentence(count, word, reason, groups.get(reason)) for reason, count in counts.most_common()]


def _sentence(count: int, word: str, reason: str, group: str | None) -> str:
    subject, verb = ("image was", "it is") if count == 1 else ("images were", "they are")
    example = "" if group is None else f" (such as {group}; keep a group on one side)"
    return f"{count} {word} {subject} left out because {verb} {reason}{example}"
