"""Distances between images and between features, in blocks, in float64."""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["contrast", "find_nearest", "pairwise", "sharpness", "spacing"]

_ROWS, _COLUMNS, _PIXELS = 256, 512, 1 << 14
"""Images compared at once, and values of each: at most 200 MB."""
_FEW = 32
"""Images measured at once: 40 MB at 224 px in colour."""


def pairwise(a: Tensor, b: Tensor) -> Tensor:
    """Distances float64 (n, m) of all rows of `a` to all rows of `b`.

    uint8 images (n, c, h, w): root of the mean squared difference of their values in [0, 1]; exact, since sums of
    squares of integers below 2**53 are exact in float64 whatever their order. Anything else, as features (n, d):
    Euclidean, difference by difference, so that equal rows are at 0 and the distance is symmetric.
    """
    if a.dtype == torch.uint8:
        x, y = a.flatten(1), b.flatten(1)
        squares = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
        for some_x, some_y in zip(torch.split(x, _PIXELS, dim=1), torch.split(y, _PIXELS, dim=1), strict=True):
            squares += _squares(some_x.double(), some_y.double())
        return (squares / max(1, x.shape[1])).sqrt() / 255
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Sums of squared differences, float64 (n, m), of whole numbers (n, d) and (m, d)."""
    return (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * (x @ y.T)


def find_nearest(a: Tensor, b: Tensor, *, k: int = 1, same: bool = False) -> tuple[Tensor, Tensor]:
    """For each row of `a` its k nearest rows of `b`, nearest first, earlier rows first where equally near.

    Args:
        a: images or features, as in `pairwise`.
        b: those among which neighbours are looked for.
        k: how many; at most as many as there are.
        same: `b` is `a`, and a row is not its own neighbour.

    Returns:
        Distances float64 (n, k') and positions int64 (n, k').
    """
    blocks = [_nearest_of_block(rows, start, b, k, same) for start, rows in _blocks(a, _ROWS)]
    if not blocks:
        return torch.empty(0, 0, dtype=torch.float64), torch.empty(0, 0, dtype=torch.int64)
    return torch.cat([d for d, _ in blocks]), torch.cat([i for _, i in blocks])


def spacing(images: Tensor) -> float:
    """The median distance from a training image of a class to its nearest other one: the unit of other distances.

    With one image, or equal ones, there is no such distance; for uint8 images it is then their mean contrast, which
    is how far they are from a plain one. 0 where that is 0 too, where there is no image, and for single features.
    """
    distance, _ = find_nearest(images, images, same=True)
    median = float(distance.median()) if distance.numel() else 0.0
    if median > 0 or not len(images) or images.dtype != torch.uint8:
        return median
    return float(contrast(images).mean())


def contrast(images: Tensor) -> Tensor:
    """Standard deviation over the pixels of a channel in [0, 1], root mean square over the channels: float64 (n,).

    A plain image has 0, whatever its colour.
    """
    return torch.cat([_contrast(rows) for rows in torch.split(images, _FEW)])


def _contrast(images: Tensor) -> Tensor:
    values = images.flatten(2).double() / 255
    return ((values - values.mean(dim=2, keepdim=True)) ** 2).mean(dim=(1, 2)).sqrt()


def sharpness(images: Tensor) -> Tensor:
    """Mean absolute Laplacian of the brightness of images of 3 px or more, in [0, 8]: float64 (n,). Noise counts."""
    return torch.cat([_sharpness(rows) for rows in torch.split(images, _FEW)])


def _sharpness(images: Tensor) -> Tensor:
    grey = images.double().mean(1) / 255
    centre = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (around - 4 * centre).abs().mean(dim=(1, 2))


def _nearest_of_block(rows: Tensor, start: int, b: Tensor, k: int, same: bool) -> tuple[Tensor, Tensor]:
    distance = torch.cat([pairwise(rows, columns) for _, columns in _blocks(b, _COLUMNS)] or [_none(len(rows))], 1)
    if same:
        own = torch.arange(len(rows), device=distance.device)
        distance[own, start + own] = torch.inf
    count = min(k, len(b) - same)
    ordered = distance.sort(dim=1, stable=True)
    return ordered.values[:, :count], ordered.indices[:, :count]


def _none(rows: int) -> Tensor:
    return torch.empty(rows, 0, dtype=torch.float64)


def _blocks(images: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    return ((start, images[start : start + size]) for start in range(0, len(images), size))
