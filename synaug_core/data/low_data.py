"""Low-data mode: a few training images of each class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from synaug_core.seeds import derive

__all__ = ["few_of_each"]


def few_of_each(labels: Sequence[str], ids: Sequence[str], most: int, seed: int) -> list[bool]:
    """Which training images to keep so that no class has more than `most`. The choice in a class depends on the seed
    and its own images alone, and a smaller number keeps a part of what a larger one keeps: points of a learning curve
    are nested."""
    of_class: dict[str, list[str]] = defaultdict(list)
    for label, name in zip(labels, ids, strict=True):
        of_class[label].append(name)
    chosen = {
        name
        for label, own in of_class.items()
        for name in sorted(own, key=lambda n: (derive(seed, "low_data", label, n), n))[:most]
    }
    return [name in chosen for name in ids]
