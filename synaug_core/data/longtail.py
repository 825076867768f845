"""A long tail on request: many images of the first class, few of the last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from synaug_core.data.low_data import drawn_of_each
from synaug_core.errors import DataError

__all__ = ["long_tail", "profile"]


def profile(counts: Mapping[str, int], ratio: float) -> dict[str, int]:
    """Images to keep of each class: n_i = n_0 ratio^(-i / (C - 1)), i in the order of `counts`, with the largest n_0
    that every class can meet (the exponential profile of Cui et al. 2019, arXiv 1901.05555).

    Raises:
        DataError: the last class would have no image.
    """
    last = max(1, len(counts) - 1)
    falls = {name: ratio ** (-i / last) for i, name in enumerate(counts)}
    first = min(count / falls[name] for name, count in counts.items())
    kept = {name: min(counts[name], int(first * fall + 0.5)) for name, fall in falls.items()}
    if empty := [name for name, count in kept.items() if count < 1]:
        raise DataError(
            f"data.long_tail: a ratio of {ratio:g} leaves no training image of {', '.join(empty)}; "
            "ask for less, or name data.classes with the largest class first"
        )
    return kept


def long_tail(labels: Sequence[str], ids: Sequence[str], classes: Sequence[str], ratio: float, seed: int) -> list[bool]:
    """Which training images to keep: those of `drawn_of_each`, so that a larger ratio keeps a part of what a smaller
    one keeps.

    Raises:
        DataError: as `profile`.
    """
    counts = Counter(labels)
    return drawn_of_each(labels, ids, profile({name: counts[name] for name in classes}, ratio), seed, "long_tail")
