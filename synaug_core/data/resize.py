"""Any image to a square of a given side and number of channels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synaug_core.vocabulary import Fit

__all__ = ["resize", "with_channels"]

_BAND_PIXELS = 2**24
"""Pixels that are padded at once: a long image's square would fill the memory."""


def resize(pixels: NDArray[np.uint8], size: int, fit: Fit = "crop") -> NDArray[np.uint8]:
    """Scale to `size` x `size` with a bicubic filter that is widened when shrinking, so nothing aliases.

    `crop` scales the shorter side to `size` and keeps the centre square: what classifiers are usually trained on.
    `pad` keeps the whole image and repeats its edges; `stretch` keeps all of it and changes its proportions.
    An image that has the size already comes back unchanged.

    Args:
        pixels: uint8, shape (h, w) or (h, w, 3).
        size: side of the result in pixels.
        fit: what happens to images that are not square.

    Returns:
        uint8, shape (size, size) or (size, size, 3).
    """
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    if fit == "pad" and height != width:
        return _padded(pixels, size)
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        side = min(height, width)
        left_edge, upper_edge = (width - side) / 2, (height - side) / 2
        box = (left_edge, upper_edge, left_edge + side, upper_edge + side)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _padded(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The square that repeated edges make, scaled: along its rows, band by band, before anything is added above or
    below, which is the order that Pillow has too."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    rest = [(0, 0)] * (pixels.ndim - 2)
    rows = max(1, _BAND_PIXELS // side)
    bands = []
    for start in range(0, height, rows):
        band = np.pad(pixels[start : start + rows], [(0, 0), (left, side - width - left), *rest], mode="edge")
        bands.append(_scaled(band, size, len(band)))
    narrow = np.pad(np.concatenate(bands), [(top, side - height - top), (0, 0), *rest], mode="edge")
    return _scaled(narrow, size, size)


def _scaled(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 (h, w) or (h, w, 3) to (channels, h, w); colour becomes grey by the weights of ITU-R BT.601."""
    if channels == 1:
        grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
        return grey[None]
    colour = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(colour.transpose(2, 0, 1))
