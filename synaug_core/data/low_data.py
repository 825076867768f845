"""Fewer training images of each class: the choice of those that stay, and low-data mode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from synaug_core.seeds import derive

__all__ = ["drawn_of_each", "few_of_each"]


def drawn_of_each(
    labels: Sequence[str], ids: Sequence[str], counts: Mapping[str, int], seed: int, stage: str
) -> list[bool]:
    """Which images to keep so that each class has at most `counts[class]`. The choice in a class depends on the seed,
    the stage's name and its own images alone, and a smaller count keeps a part of what a larger one keeps."""
    of_class: dict[str, list[str]] = defaultdict(list)
    for label, name in zip(labels, ids, strict=True):
        of_class[label].append(name)
    chosen = {
        name
        for label, own in of_class.items()
        for name in sorted(own, key=lambda n: (derive(seed, stage, label, n), n))[: counts[label]]
    }
    return [name in chosen for name in ids]


def few_of_each(labels: Sequence[str], ids: Sequence[str], most: int, seed: int) -> list[bool]:
    """Which training images to keep so that no class has more than `most`: see `drawn_of_each`, so that the points of
    a learning curve are nested."""
    return drawn_of_each(labels, ids, dict.fromkeys(labels, most), seed, "low_data")
