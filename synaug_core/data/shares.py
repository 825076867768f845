"""How many images of each class to take where not all of them can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

__all__ = ["equal_shares"]

_Class = TypeVar("_Class", str, int)


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
    left = min(total, sum(capacity.values()))
    while left > 0:
        for name in order:
            if left and shares[name] < capacity[name]:
                shares[name] += 1
                left -= 1
    return shares
