"""Image sets in our own Parquet layout: one file, or a folder of nothing but such files, one for each split."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from synaug_core.data import decode, imageset, parquet, report
from synaug_core.data.sources import base, folder
from synaug_core.errors import DataError

__all__ = ["list_parquet"]

_SUFFIX = ".parquet"
_MOST_BYTES = 64e9
"""Pixels that one file may claim: more than any machine holds is a lie or a mistake."""


def list_parquet(path: Path, limits: decode.Limits) -> base.Listing:
    """List the images of `path`. Splits and groups are the files' own; a split counts where there are several.

    Classes keep the files' order where all have the same, and are sorted by name otherwise.

    Raises:
        DataError: a file is not one of ours, is damaged, claims too much, holds synthetic images, or has an image that
            another has too.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() == _SUFFIX)
    read = [(file, *_read(file, limits)) for file in files if not file.name.startswith(".")]
    several = len({split for _, _, splits in read for split in splits}) > 1
    items: list[base.Item] = []
    names: set[str] = set()
    for file, images, splits in read:
        for n, name in enumerate(images.ids):
            if name in names:
                raise DataError(f"{file.name}: the image {name!r} stands in {path.name} twice")
            names.add(name)
            pixels = images.images[n].numpy()
            plain_pixels = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
            label = images.classes[int(images.labels[n])]
            items.append(
                base.Item(name, label, base.ArrayImage(plain_pixels), splits[n] if several else None, images.groups[n])
            )
    orders = {images.classes for _, images, _ in read}
    classes = orders.pop() if len(orders) == 1 else tuple(sorted({c for order in orders for c in order}))
    return base.Listing(path.name, tuple(items), classes)


def _read(file: Path, limits: decode.Limits) -> tuple[imageset.ImageSet, list[report.Split | None]]:
    """A file's images, and each one's split where it is one of ours."""
    try:
        _check_claims(file, limits)
        images, texts = parquet.read_with_splits(file)
        has_synthetic = bool(images.is_synthetic().any())
    except Exception as error:  # parsers of hostile bytes raise nearly anything
        words = " ".join(str(error).split()).removeprefix(f"{file} ")[:200]
        raise DataError(f"{file}: cannot be read as a Parquet file of images ({words})") from error
    if has_synthetic:
        raise DataError(f"{file}: holds synthetic images, which cannot stand for real ones")
    return images, [folder.SPLIT_NAMES.get(text.casefold()) for text in texts]


def _check_claims(file: Path, limits: decode.Limits) -> None:
    """Refuse sizes that would fill the memory before a pixel is read."""
    metadata = pq.read_metadata(file)
    facts = json.loads((metadata.metadata or {})[b"synaug"])
    shape = [int(facts[key]) for key in ("channels", "height", "width")]
    if shape[0] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"images of {shape[0]} channels, {shape[1]} x {shape[2]} pixels")
    if shape[1] * shape[2] > limits.megapixels * 1e6 or math.prod(shape) * metadata.num_rows > _MOST_BYTES:
        raise ValueError(f"{metadata.num_rows} images of {shape[1]} x {shape[2]} pixels are too large")
