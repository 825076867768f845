"""Images as PNG bytes: without loss, names or times, by one encoder."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["encoded", "of_pixels", "to_pil_array"]


def encoded(picture: Image.Image, **options: Any) -> bytes:
    """A picture as PNG bytes; `options` are the encoder's, such as `compress_level`."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", **options)
    return buffer.getvalue()


def of_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """An image, uint8 (1 or 3, h, w), as PNG bytes; equal pixels give equal bytes."""
    return encoded(Image.fromarray(to_pil_array(pixels)))


def to_pil_array(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (1 or 3, h, w) as PIL takes it: (h, w), or (h, w, 3) contiguous."""
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
