"""Real or synthetic? A small classifier's answer from a few statistics of the pixels, and what chance would reach.

Where only the rare class has synthetic images, whatever gives these away becomes the mark of the class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaug_core.data.imageset import ImageSet
from synaug_core.nets.shown import Resize
from synaug_core.quality.distances import contrast, sharpness
from synaug_core.quality.features import subset
from synaug_core.quality.judge import assign_folds
from synaug_core.seeds import derive, stream

__all__ = ["Separability", "measure_separability", "pixel_statistics"]

_FOLDS, _LEFT_OUT = 5, 2
"""Parts of the real images, and how many of them a classifier is tested on: a synthetic image may have two parents."""
_PERMUTATIONS = 399
_QUANTILE = 0.99
_BANDS = (1 / 16, 1 / 8, 1 / 4)
"""Between four bands of spatial frequency, in periods per pixel: octaves."""
_SMALLEST = 1e-3
_ROWS = 64
"""Images whose statistics are computed at once."""

Matrix = NDArray[np.float64]


class Separability(NamedTuple):
    """How well synthetic images of a class can be told from its real ones."""

    auc: float
    """Out of fold, in [0, 1]: the chance that a synthetic image looks more synthetic than a real one."""
    chance: float
    """What 99 % of permutations of the labels stay below."""


def measure_separability(
    real: ImageSet, synthetic: ImageSet, *, most: int, seed: int, shown: int | None = None
) -> Separability | None:
    """Tell synthetic images of one class from its real ones by linear discriminant analysis of `pixel_statistics`.

    The real images' groups are divided into five parts. For each pair of parts, a classifier learns from the images
    that have nothing to do with either, and ranks the images that come from these parts alone: a synthetic image lies
    in its parents' parts, one without parents in any. The area counts the pairs of all classifiers. The covariance is
    that of both kinds of images together, shrunk after Ledoit and Wolf (2004), so that a permutation of the labels
    changes only the means and all permutations are computed at once.

    No features of a classifier are used: of the images that it has learnt from, it would know them again.

    Args:
        real: real images of the class, all parents among them.
        synthetic: with provenance.
        most: images of each kind that are used, at random where there are more.
        seed: of the parts, the subsets and the permutations.
        shown: pixels a side of what a classifier is shown of the images: smaller than these, they are shrunk to it
            first, as what is lost then gives nothing away. (What is enlarged is taken as it is: nothing comes to it.)

    Returns:
        None with fewer than five groups of real images, or where no part can be tested.
    """
    folds = min(_FOLDS, len(set(real.groups)))
    if folds < _FOLDS or not len(synthetic):
        return None
    random = stream(derive(seed, "separability"))
    fold_of = assign_folds(real, folds, derive(seed, "parts"))
    rows = (subset(len(real), most, random).sort().values, subset(len(synthetic), most, random).sort().values)
    images = (real.take(rows[0]), synthetic.take(rows[1]))
    origins = torch.cat([_one_hot([[fold_of[i]] for i in images[0].ids], folds), _origins(images[1], fold_of, random)])
    x = torch.cat([pixel_statistics(_shrunk(part.images, shown)) for part in images]).numpy()
    truth = torch.arange(len(x)) >= len(images[0])
    labels = torch.stack([truth, *(truth[torch.randperm(len(x), generator=random)] for _ in range(_PERMUTATIONS))], 1)
    areas = _areas(x, origins.numpy(), labels.numpy())
    if not np.isfinite(areas[0]):
        return None
    return Separability(float(areas[0]), float(np.nanquantile(areas[1:], _QUANTILE)))


def _shrunk(images: Tensor, shown: int | None) -> Tensor:
    """uint8 images on the CPU, no larger than `shown`."""
    size = images.shape[-1]
    if shown is None or shown >= size:
        return images.cpu()
    resize = Resize(size, shown)
    blocks = [resize(block / 255).mul(255).round().to(torch.uint8) for block in torch.split(images.cpu(), _ROWS)]
    return torch.cat(blocks)


def pixel_statistics(images: Tensor) -> Tensor:
    """Statistics of each uint8 image (n, c, h, w), float64 (n, 10 + 3 c).

    Logarithms of the mean absolute Laplacian, of the mean absolute difference of neighbours in either direction and of
    the contrast; logarithms of the shares of four octaves of the brightness's power; shares of values at either end of
    the range; mean, standard deviation and the third moment's cube root of each channel.
    """
    parts = [_statistics_of_block(block) for block in torch.split(images.cpu(), _ROWS) if len(block)]
    return torch.cat(parts) if parts else torch.empty(0, 10 + 3 * images.shape[1], dtype=torch.float64)


def _statistics_of_block(images: Tensor) -> Tensor:
    values = images.double() / 255
    grey = values.mean(1)
    steps = [grey.diff(dim=d).abs().mean((1, 2)) for d in (1, 2)]
    mean = values.mean((2, 3))
    centred = values - mean[..., None, None]
    third = (centred**3).mean((2, 3))
    columns = [
        *(torch.log(value + _SMALLEST) for value in (sharpness(images), *steps, contrast(images))),
        torch.log(_power_shares(grey) + _SMALLEST),
        (images == 0).double().mean((1, 2, 3)),
        (images == 255).double().mean((1, 2, 3)),
        mean,
        (centred**2).mean((2, 3)).sqrt(),
        third.sign() * third.abs() ** (1 / 3),
    ]
    return torch.cat([c if c.ndim == 2 else c[:, None] for c in columns], dim=1)


def _power_shares(grey: Tensor) -> Tensor:
    """Shares of the power in four bands of frequency, the mean left out, (n, 4); 0 for a plain image."""
    height, width = grey.shape[1:]
    power = torch.fft.fft2(grey).abs().square()
    frequency = torch.hypot(
        torch.fft.fftfreq(height, dtype=torch.float64)[:, None], torch.fft.fftfreq(width, dtype=torch.float64)[None]
    )
    power[:, 0, 0] = 0
    band = torch.bucketize(frequency, torch.tensor(_BANDS, dtype=torch.float64))
    sums = torch.stack([(power * (band == b)).sum((1, 2)) for b in range(len(_BANDS) + 1)], dim=1)
    return sums / sums.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)


def _one_hot(folds: list[list[int]], count: int) -> Tensor:
    """Which parts each image comes from, bool (n, count)."""
    table = torch.zeros(len(folds), count, dtype=torch.bool)
    for row, parts in enumerate(folds):
        table[row, parts] = True
    return table


def _origins(synthetic: ImageSet, fold_of: dict[str, int], random: torch.Generator) -> Tensor:
    count = max(fold_of.values()) + 1
    drawn = torch.randint(count, (len(synthetic),), generator=random).tolist()
    parents: Iterator[list[str]] = (json.loads(text).get("parents", []) for text in synthetic.provenance)
    folds = [[fold_of[i] for i in ids if i in fold_of] or [part] for ids, part in zip(parents, drawn, strict=True)]
    return _one_hot(folds, count)


def _areas(x: Matrix, origins: NDArray[np.bool_], labels: NDArray[np.bool_]) -> Matrix:
    """The area under the curve of each column of labels (n, k), over the classifiers of all pairs of parts: (k,)."""
    from scipy.stats import rankdata

    wins, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for left_out in combinations(range(origins.shape[1]), _LEFT_OUT):
        inside = np.isin(np.arange(origins.shape[1]), left_out)
        fitted, tested = ~origins[:, inside].any(1), ~origins[:, ~inside].any(1)
        directions = _directions(x[fitted], labels[fitted])
        ranks = rankdata(x[tested] @ directions, axis=0)
        test_labels = labels[tested]
        ones = test_labels.sum(0)
        usable = np.isfinite(directions).all(0)
        wins += np.where(usable, (ranks * test_labels).sum(0) - ones * (ones + 1) / 2, 0)
        pairs += np.where(usable, ones * (len(test_labels) - ones), 0)
    return np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0)


def _directions(x: Matrix, labels: NDArray[np.bool_]) -> Matrix:
    """The discriminant of each column of labels, (d, k); NaN where one kind of image is missing."""
    from sklearn.covariance import ledoit_wolf

    ones, zeros = labels.sum(0), (~labels).sum(0)
    if len(x) < 2 or not (ones > 0).any():
        return np.full((x.shape[1], labels.shape[1]), np.nan)
    scale = x.std(0)
    centred = (x - x.mean(0)) / np.where(scale > 0, scale, 1)
    covariance, _ = ledoit_wolf(centred, assume_centered=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = centred.T @ labels / ones - centred.T @ ~labels / zeros
    solved: Matrix = np.linalg.solve(covariance + 1e-9 * np.eye(len(covariance)), difference)
    return solved / np.where(scale > 0, scale, 1)[:, None]
