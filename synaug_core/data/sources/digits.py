"""scikit-learn's handwritten digits: real, small, and installed already."""

from importlib import metadata

import numpy as np

from synaug_core.data.sources.base import ArrayImage, Item, Listing

__all__ = ["digits_version", "list_digits"]


def list_digits() -> Listing:
    """1,797 grey images of 8 x 8 pixels in ten classes; the values 0 to 16 are scaled to 0 to 255.

    Source: UCI "Optical recognition of handwritten digits", as `sklearn.datasets.load_digits` gives it.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(np.asarray(data.images) * (255 / 16)).astype(np.uint8)
    items = tuple(
        Item(f"{i:04d}", str(label), ArrayImage(pixels))
        for i, (pixels, label) in enumerate(zip(images, data.target.tolist(), strict=True))
    )
    return Listing("digits", items, tuple(str(d) for d in range(10)))


def digits_version() -> str:
    """Return the version that the digits depend on."""
    return f"digits of scikit-learn {metadata.version('scikit-learn')}"
