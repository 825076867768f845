"""Training images in parts of about equal size, whole groups, each class spread over as many parts as it has groups;
and which parts each judge leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations, pairwise

from synaug_core.data.imageset import ImageSet
from synaug_core.seeds import derive

__all__ = ["assign_folds", "panel", "panels"]


def assign_folds(train: ImageSet, folds: int, seed: int) -> dict[str, int]:
    """The fold in [0, folds) of each image's id.

    Groups go, those of the rarest class and the largest first, where their classes are worst represented; of equally
    good folds to the one with the fewest images. So a class with as many groups as folds is in every fold.
    """
    content: dict[str, Counter[int]] = defaultdict(Counter)
    for group, label in zip(train.groups, train.labels.tolist(), strict=True):
        content[group][label] += 1
    totals = Counter(train.labels.tolist())
    held: list[Counter[int]] = [Counter() for _ in range(folds)]

    def place(group: str) -> tuple[int, int, int, str]:
        inside = content[group]
        return min(totals[c] for c in inside), -inside.total(), derive(seed, "fold", group), group

    fold_of: dict[str, int] = {}
    for group in sorted(content, key=place):
        inside = content[group]

        def filled(fold: int, inside: Counter[int] = inside) -> tuple[float, int, int]:
            share = sum(held[fold][c] * n / totals[c] for c, n in inside.items())
            return round(share, 9), held[fold].total(), fold

        best = min(range(folds), key=filled)
        held[best].update(inside)
        fold_of[group] = best
    return {image: fold_of[group] for image, group in zip(train.ids, train.groups, strict=True)}


def panel(folds: int) -> tuple[tuple[int, ...], ...]:
    """What each judge leaves out: every fold, and every pair of folds, since an image may have two parents."""
    return tuple(left_out for size in (1, 2) for left_out in combinations(range(folds), size))


def panels(folds: int, workers: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The panel in up to `workers` parts whose numbers of judges differ by one at most, in its order."""
    whole = panel(folds)
    parts = max(1, min(workers, len(whole)))
    cuts = [round(i * len(whole) / parts) for i in range(parts + 1)]
    return tuple(whole[a:b] for a, b in pairwise(cuts))
