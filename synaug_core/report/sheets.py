"""Sheets of images to look at: what came in, what was learnt, what was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.report.tiles import Row, sheet
from synaug_core.report.words import number

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from synaug_core.data.imageset import ImageSet
    from synaug_core.generators.base import Generator

__all__ = ["interpolation", "preview", "real_beside_synthetic", "reconstruction"]

_IN_ROW = 10
"""Most images of a class."""
_BESIDE = 6
"""Most of each kind where real ones stand beside synthetic ones."""


def preview(images: ImageSet) -> Image.Image:
    """The first images of every class, with the class's name and its number of images."""
    counts = images.counts()
    blocks = _blocks(len(counts))
    rows = [
        Row(name, _images(counts[name]), _first(images, name, _IN_ROW // blocks), missing="no images")
        for name in images.classes
    ]
    return sheet(rows, blocks=blocks, tile=_tile(len(counts)))


def _reconstruction_sheet(original: ImageSet, decoded: Tensor) -> Image.Image:
    """Two rows for each class that has images: originals above what was decoded of them, in the same order."""
    counts = {name: n for name, n in original.counts().items() if n}
    blocks = 1 if len(counts) <= 6 else 2 if len(counts) <= 16 else 3
    rows = []
    for name in counts:
        index = original.rows_of(name)[: _IN_ROW // blocks]
        rows.append(Row(name, "original", original.images[index], space=8))
        rows.append(Row("", "reconstruction", decoded[index]))
    if blocks > 1 and len(counts) % blocks:  # pairs must not be torn apart between blocks
        empty = original.images[:0]
        short = -len(counts) % blocks
        rows += [Row("", "", empty)] * (2 * short)
    return sheet(rows, blocks=blocks, tile=_tile(2 * len(counts)))


def reconstruction(generator: Generator, images: ImageSet) -> Image.Image | None:
    """Images of a fitted generator's classes above what it makes of them; None where it has no latent space."""
    import torch

    from synaug_core.generators.base import LatentGenerator
    from synaug_core.generators.pixels import to_uint8

    if not isinstance(generator, LatentGenerator):
        return None
    wanted = images.head_of_each_class(dict.fromkeys(generator.classes, _IN_ROW))
    decoded = wanted.images.clone()
    with torch.no_grad():
        for name in generator.classes:
            mine = wanted.labels == wanted.classes.index(name)
            if mine.any():
                mean, _ = generator.encode(wanted.images[mine], name)
                decoded[mine] = to_uint8(generator.decode(mean, name))
    return _reconstruction_sheet(wanted, decoded)


def real_beside_synthetic(real: ImageSet, synthetic: ImageSet) -> Image.Image:
    """Real images on the left, synthetic ones on the right, for each class that has synthetic images."""
    import torch

    made, there = synthetic.counts(), real.counts()
    names = [name for name in synthetic.classes if made[name]]
    blocks = _blocks(len(names))
    each = _BESIDE if blocks == 1 else 4 if blocks == 2 else 3
    rows = []
    for name in names:
        left, right = _first(real, name, each), _first(synthetic, name, each)
        gap = left.new_full((each - len(left), *right.shape[1:]), 255)
        note = f"{number(there.get(name, 0))} real, {number(made[name])} synthetic"
        rows.append(Row(name, note, torch.cat([left, gap, right])))
    columns = (("real", 0), ("synthetic", each))
    return sheet(rows, columns=columns, breaks=(each,), blocks=blocks, tile=_tile(len(names)))


def interpolation(rows: Sequence[tuple[str, Tensor]], alphas: Sequence[float]) -> Image.Image:
    """Walks between two images of a class.

    Args:
        rows: a name and its images, uint8 (len(alphas), 1 or 3, h, w).
        alphas: position of each image between the ends.
    """
    columns = [(f"a = {a:.2g}", i) for i, a in enumerate(alphas)]
    return sheet([Row(name, "", images) for name, images in rows], columns=columns, tile=64)


def _first(images: ImageSet, name: str, n: int) -> Tensor:
    return images.images[images.rows_of(name)[:n]]


def _images(n: int) -> str:
    return f"{number(n)} image{'s' * (n != 1)}"


def _blocks(rows: int) -> int:
    return 1 if rows <= 12 else 2 if rows <= 24 else 3


def _tile(rows: int) -> int:
    """Least side of a tile: larger where rows are few."""
    return 84 if rows <= 3 else 64 if rows <= 12 else 48
