"""How many images of each class are taken, and which, where not all are: equal shares, a long tail, low-data mode."""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from synaug_core import errors, seeds

__all__ = ["DEFAULT", "choose_of_each", "class_limits", "equal_shares", "profile"]

_Class = TypeVar("_Class", str, int)
DEFAULT = "default"
"""In `data.per_class`: every class that is not named."""


def choose_of_each(
    labels: Sequence[str], ids: Sequence[str], counts: Mapping[str, int], seed: int, stage: str
) -> list[bool]:
    """Which images to keep so that each class has at most `counts[class]`. The choice in a class depends on the seed,
    the stage's name and its own images alone, and a smaller count keeps a part of what a larger one keeps: so the
    points of a learning curve are nested."""
    of_class: dict[str, list[str]] = defaultdict(list)
    for label, name in zip(labels, ids, strict=True):
        of_class[label].append(name)
    chosen_ids = {
        name
        for label, class_ids in of_class.items()
        for name in sorted(class_ids, key=lambda n: (seeds.derive(seed, stage, label, n), n))[: counts[label]]
    }
    return [name in chosen_ids for name in ids]


def class_limits(per_class: int | Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Most training images of each class of `counts`: the one number, or those of the classes named and `default`'s
    for the others, which without it keep all.

    Raises:
        DataError: a class that there is not.
    """
    if not isinstance(per_class, Mapping):
        return dict.fromkeys(counts, per_class)
    most = {unicodedata.normalize("NFC", name): number for name, number in per_class.items()}
    if unknown := [name for name in most if name not in counts and name != DEFAULT]:
        raise errors.DataError(
            f"data.per_class: no class {', '.join(map(repr, unknown))}; there are {', '.join(counts)}, and {DEFAULT} "
            "stands for those that are not named"
        )
    return {name: most.get(name, most.get(DEFAULT, count)) for name, count in counts.items()}


def profile(counts: Mapping[str, int], ratio: float) -> dict[str, int]:
    """Images to keep of each class: n_i = n_0 ratio^(-i / (C - 1)), i in the order of `counts`, with the largest n_0
    that every class can meet (the exponential profile of Cui et al. 2019, arXiv 1901.05555).

    Raises:
        DataError: the last class would have no image.
    """
    last_position = max(1, len(counts) - 1)
    falls = {name: ratio ** (-i / last_position) for i, name in enumerate(counts)}
    first = min(count / falls[name] for name, count in counts.items())
    targets = {name: min(counts[name], int(first * fall + 0.5)) for name, fall in falls.items()}
    if empty := [name for name, count in targets.items() if count < 1]:
        raise errors.DataError(
            f"data.long_tail: a ratio of {ratio:g} leaves no training image of {', '.join(empty)}; "
            "ask for less, or name data.classes with the largest class first"
        )
    return targets


def equal_shares(capacity: Mapping[_Class, int], total: int, order: Sequence[_Class]) -> dict[_Class, int]:
    """Shares as equal as the classes' images allow: dealt out one by one, in rounds, to the classes that have more.

    Args:
        capacity: class -> its images.
        total: how many to deal out; where there are fewer, every class gives all.
        order: every class once, in the order of a round; the first ones get what a last round leaves over.

    Returns:
        Class -> its share, in the order of `capacity`.
    """
    shares = dict.fromkeys(capacity, 0)
    remaining = min(total, sum(capacity.values()))
    while remaining > 0:
        for name in order:
            if remaining and shares[name] < capacity[name]:
                shares[name] += 1
                remaining -= 1
    return shares
