"""Any image to a square of a given side and number of channels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synaug_core.vocabulary import Fit

__all__ = ["resize", "with_channels"]


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
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        margins = [(top, side - height - top), (left, side - width - left)] + [(0, 0)] * (pixels.ndim - 2)
        pixels, height, width = np.pad(pixels, margins, mode="edge"), side, side
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        side = min(height, width)
        left_edge, upper_edge = (width - side) / 2, (height - side) / 2
        box = (left_edge, upper_edge, left_edge + side, upper_edge + side)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 (h, w) or (h, w, 3) to (channels, h, w); colour becomes grey by the weights of ITU-R BT.601."""
    if channels == 1:
        grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
        return grey[None]
    colour = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(colour.transpose(2, 0, 1))
