"""Which classes are the rarest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["by_rarity"]


def by_rarity(classes: Iterable[str], train: Mapping[str, int], test: Mapping[str, int]) -> tuple[str, ...]:
    """The classes from the fewest training images to the most; equals by their test images, then as they stand.

    Where training images were thinned to one number, the test part still shows what is rare in the source.
    """
    return tuple(sorted(classes, key=lambda c: (train.get(c, 0), test.get(c, 0))))
