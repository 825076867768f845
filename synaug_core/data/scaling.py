"""The full scale of stored values beyond 8 bits, and how image files become what a model sees.

There is one full scale for a data set, kept with the model: an image's own largest value says how bright it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synaug_core import frozen, vocabulary

__all__ = ["Extent", "Preprocessing", "Scale", "common_scale", "depth", "to_eight_bits"]

_DEPTHS = (8, 10, 12, 14, 16)
_OVERSHOOT = 0.05
"""Of the full scale: resampling and hot pixels lead so far beyond it."""


@dataclass(frozen=True)
class Extent:
    """The smallest and the largest value of an image that is not of 8 bits; `real`: of floating point."""

    low: float
    high: float
    real: bool


class Scale(frozen.Frozen):
    """What is read as white; None: not known, and each image's own largest value decides, as in 0.1.0."""

    integer: int | None = None
    """Of whole numbers: 255, 1023, 4095, 16383 or 65535."""
    real: int | None = None
    """Of floating point: 1, or as of whole numbers."""


class Preprocessing(frozen.Frozen):
    """How image files become what a model sees, the same in training and in use."""

    fit: vocabulary.Fit = "crop"
    """How images that are not square are made so."""
    scale: Scale = Scale()


def depth(extent: Extent) -> int | None:
    """The smallest of 8, 10, 12, 14 and 16 bits that holds an image's values; None: more are needed."""
    if extent.real and extent.high <= 1 + _OVERSHOOT:
        return 8
    return next((bits for bits in _DEPTHS if extent.high <= (1 + _OVERSHOOT) * (2**bits - 1)), None)


def common_scale(extents: Iterable[Extent]) -> Scale:
    """The full scales that hold the images of a data set; what overshoots them a little is clipped later.

    Images that no full scale holds are left out; reading them says so.
    """
    whites: dict[bool, list[int]] = {False: [], True: []}
    for extent in extents:
        bits = depth(extent)
        if bits is not None and not _is_negative(extent, 2**bits - 1):
            is_unit = extent.real and extent.high <= 1 + _OVERSHOOT
            whites[extent.real].append(1 if is_unit else 2**bits - 1)
    return Scale(integer=max(whites[False], default=None), real=max(whites[True], default=None))


def to_eight_bits(values: NDArray[np.generic], scale: Scale) -> NDArray[np.uint8]:
    """Values to 0 to 255, those beyond the scale clipped.

    Raises:
        ValueError: values are not finite, negative, or beyond all scales; the text is the reason.
    """
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("has values that are not finite numbers")
    extent = Extent(float(wide.min()), float(wide.max()), values.dtype.kind == "f")
    white = scale.real if extent.real else scale.integer
    if _is_negative(extent, white):
        raise ValueError(f"has negative values (down to {extent.low:g}); save it with 8 or 16 unsigned bits")
    white = white or _own_white(extent)
    if white is None:
        raise ValueError(f"has values up to {extent.high:g}; save it with 8 or 16 unsigned bits")
    return np.rint(wide.clip(0, white) * (255 / white)).astype(np.uint8)


def _is_negative(extent: Extent, white: float | None) -> bool:
    """Floating point may undershoot black as it may overshoot white."""
    return extent.low < (-_OVERSHOOT * white if extent.real and white else 0)


def _own_white(extent: Extent) -> int | None:
    if extent.real and extent.high <= 255:
        return 1 if extent.high <= 1 else 255
    return next((2**bits - 1 for bits in (8, 12, 16) if extent.high < 2**bits), None)
