"""Can a property of the files alone tell the classes? Then a classifier may learn it in place of what it shows."""

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synaug_core import frozen

__all__ = ["Shortcut", "find_shortcuts"]

_FOLDS = 5
_MOST_BINS = 16
_FEWEST = 10
"""Images that a class needs for anything to be said of it."""
_TELLING = 0.5
"""Share of a class's images that are recognised, less that of others taken for it: 1 tells it without a fault."""
_TELLING_OF_CONTENT = 0.85
"""The same for what depends on what the images show, which may tell their classes to some degree."""
_ERRORS_AWAY = 4.0


class Shortcut(frozen.Frozen):
    """A class that one property tells from the others, measured on images that were not looked at for it."""

    property: str
    class_name: str
    recognised: float
    """Share of the class's images."""
    mistaken: float
    """Share of the other images that are taken for it."""

    def sentence(self) -> str:
        """What the user should know."""
        return (
            f"{self.property} alone tells {self.class_name!r}: it recognises {self.recognised:.0%} of its images, and "
            f"takes {self.mistaken:.0%} of the others for it. If that is how the images were taken and not what they "
            "show, a classifier may learn it in its place."
        )


def find_shortcuts(
    properties: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    of_content: Container[str] = (),
    seed: int = 0,
) -> tuple[Shortcut, ...]:
    """The classes that a property alone tells from the others, for each property the one that it tells best.

    Values are put into bins; in each of five folds, a bin stands for the class that has the largest share of its own
    other images there. What is told beyond doubt (by four standard errors) and by half counts.

    Args:
        properties: name -> a number for each image, such as its mean brightness.
        labels: class of each image.
        of_content: properties that depend on what the images show; more is asked of them.
        seed: of the folds.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        return ()
    index = {name: n for n, name in enumerate(names)}
    classes = np.array([index[label] for label in labels])
    folds = _folds(classes, seed)
    shortcuts = []
    for name, values in properties.items():
        bins = _bins(np.asarray(values, dtype=np.float64))
        if bins.max(initial=0) == 0:
            continue
        predicted = _predict(bins, classes, folds, len(names))
        least = _TELLING_OF_CONTENT if name in of_content else _TELLING
        best = _best_told(name, predicted, classes, names, least)
        if best is not None:
            shortcuts.append(best)
    return tuple(shortcuts)


def _best_told(
    name: str, predicted: NDArray[np.int64], classes: NDArray[np.int64], names: Sequence[str], least: float
) -> Shortcut | None:
    best: tuple[float, Shortcut] | None = None
    for number, class_name in enumerate(names):
        of_class = classes == number
        count, other_count = int(of_class.sum()), int((~of_class).sum())
        if min(count, other_count) < _FEWEST:
            continue
        hits, misses = int((predicted[of_class] == number).sum()), int((predicted[~of_class] == number).sum())
        # one image more on either side: none of ten is not never
        rates = [((hits + 1) / (count + 2), count), ((misses + 1) / (other_count + 2), other_count)]
        error = sum(rate * (1 - rate) / (n + 2) for rate, n in rates) ** 0.5
        informedness = hits / count - misses / other_count
        is_beyond_doubt = rates[0][0] - rates[1][0] >= _ERRORS_AWAY * error
        if is_beyond_doubt and informedness >= max(least, best[0] if best else 0):
            recognised, mistaken = hits / count, misses / other_count
            best = (
                informedness,
                Shortcut(property=name, class_name=class_name, recognised=recognised, mistaken=mistaken),
            )
    return best[1] if best else None


def _folds(classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A fold for each image, each class spread evenly."""
    folds = np.empty(len(classes), dtype=np.int64)
    generator = np.random.default_rng(seed)
    for number in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == number))
        folds[rows] = np.arange(len(rows)) % _FOLDS
    return folds


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value: its own where there are few different ones, else one of equally full ones."""
    distinct = np.unique(values)
    if len(distinct) <= _MOST_BINS:
        return np.searchsorted(distinct, values)
    count = int(np.clip(len(values) // _FEWEST, 2, _MOST_BINS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _predict(
    bins: NDArray[np.int64], classes: NDArray[np.int64], folds: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    counts = np.zeros((_FOLDS, count, int(bins.max()) + 1))
    np.add.at(counts, (folds, classes, bins), 1)
    outside = counts.sum(axis=0) - counts  # of the other folds
    shares = outside / np.maximum(1, outside.sum(axis=2, keepdims=True))
    chosen: NDArray[np.int64] = shares.argmax(axis=1)[folds, bins]
    return chosen
