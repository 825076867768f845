"""How far two sets of maps are apart, as numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from synaug_core.explanation.report import MapChange

__all__ = ["TOP", "change_of_each", "mean_change"]

TOP = 0.2
"""Share of a map's pixels that counts as where the classifier looks."""


def change_of_each(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[MapChange | None]:
    """For each image, how far its two maps are apart; None where one of them is flat.

    The overlap is that of the pixels at least as bright as the brightest fifth, zeros left out.

    Args:
        a: float (n, h, w), not negative.
        b: the same shape.

    Raises:
        ValueError: shapes that differ.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"maps of the same images expected, got {a.shape} and {b.shape}")
    return [_change(x.astype(np.float64).ravel(), y.astype(np.float64).ravel()) for x, y in zip(a, b, strict=True)]


def mean_change(changes: list[MapChange | None]) -> MapChange | None:
    """Mean over the images where the change is defined; None where it is nowhere."""
    known = [c for c in changes if c is not None]
    if not known:
        return None
    return MapChange(
        correlation=math.fsum(c.correlation for c in known) / len(known),
        overlap=math.fsum(c.overlap for c in known) / len(known),
        n=len(known),
    )


def _change(x: NDArray[np.float64], y: NDArray[np.float64]) -> MapChange | None:
    x0, y0 = x - x.mean(), y - y.mean()
    norm = math.sqrt(float(x0 @ x0) * float(y0 @ y0))
    if norm == 0:
        return None
    bright_x, bright_y = _bright(x), _bright(y)
    both, either = int((bright_x & bright_y).sum()), int((bright_x | bright_y).sum())
    correlation = min(1.0, max(-1.0, float(x0 @ y0) / norm))
    return MapChange(correlation=1 - correlation, overlap=1 - both / either, n=1)


def _bright(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    kth = math.ceil(TOP * len(x))
    least = np.partition(x, -kth)[-kth]
    return np.asarray((x >= least) & (x > 0))
