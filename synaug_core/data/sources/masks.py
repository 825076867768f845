"""Masks beside images: files that are drawn over an image of the same name, and the crops around what they mark."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from synaug_core.data.decode import Decoded, UnreadableError
from synaug_core.data.scaling import Extent, Scale
from synaug_core.data.sources.base import StoredImage
from synaug_core.names import consists_of

__all__ = ["MASK_WORDS", "MarkedImage", "pair_masks"]

MASK_WORDS = {
    *("mask", "masks", "seg", "segmentation", "segmentations", "annotation", "annotations", "groundtruth", "gt"),
    *("label", "labels", "bbox", "bboxes", "roi", "rois"),
}
"""Words for what is drawn over an image, or said of it."""
_ENDING = re.compile(rf"[ _.-]+({'|'.join(sorted(MASK_WORDS, reverse=True))})([ _.-]*\d+)?$", re.IGNORECASE)
_MARGIN = 0.25
"""Of the longer side of what is marked, shown on each side of it."""
_LOSSY_MARK = 128
"""From this value on a pixel of a JPEG is marked; elsewhere every pixel is that is not 0."""

Parts = tuple[str, ...]


def pair_masks(files: Iterable[Parts], depth: int) -> dict[Parts, Parts]:
    """Path of each mask -> path of its image: `NAME_mask.png` beside `NAME.png`, or `NAME.png` in a folder `masks`
    below the class folders, beside `NAME.png` above it or in another folder there.

    Args:
        files: paths of image files below the source, by their parts.
        depth: of the class folders below it; -1 where there are none.
    """
    named = [(parts, parts[:-1], PurePosixPath(parts[-1]).stem) for parts in files]

    def is_of_masks(folder: Parts) -> bool:
        return len(folder) > depth + 1 and consists_of(folder[-1], MASK_WORDS)

    images = {(folder, stem): parts for parts, folder, stem in reversed(named) if not is_of_masks(folder)}
    images_below = {(folder[:-1], stem): path for (folder, stem), path in images.items() if len(folder) > depth + 1}
    images_below |= images
    pairs = {}
    for parts, folder, stem in named:
        image_stem = _ENDING.sub("", stem)
        if is_of_masks(folder):
            image = images_below.get((folder[:-1], stem)) or images_below.get((folder[:-1], image_stem))
        else:
            image = images.get((folder, image_stem)) if image_stem not in ("", stem) else None
        if image is not None and len(folder) > depth:
            pairs[parts] = image
    return pairs


@dataclass(frozen=True)
class MarkedImage:
    """An image of which only what its masks mark is seen, with a margin: a square where the image has room for one.

    Where the masks mark nothing the image is whole.
    """

    image: StoredImage
    masks: tuple[StoredImage, ...]

    def size(self) -> tuple[int, int]:
        """Height and width of what is seen; the masks are decoded for it, the image is not."""
        rows, columns = self._window(self.image.size(), None)
        return rows.stop - rows.start, columns.stop - columns.start

    def extent(self) -> Extent | None:
        """The smallest and the largest stored value of the whole image."""
        return self.image.extent()

    def byte_count(self) -> int:
        """How many bytes the image and its masks have as stored."""
        return self.image.byte_count() + sum(mask.byte_count() for mask in self.masks)

    def raw_bytes(self) -> bytes:
        """The bytes of the image and its masks as stored."""
        return b"".join(one.raw_bytes() for one in (self.image, *self.masks))

    def read(self, scale: Scale = Scale()) -> Decoded:
        """The pixels that are seen.

        Raises:
            UnreadableError: the image or a mask cannot be read, or they differ in height or width.
        """
        decoded = self.image.read(scale)
        rows, columns = self._window(None, decoded.pixels.shape[:2])
        pixels = np.ascontiguousarray(decoded.pixels[rows, columns])
        return Decoded(pixels, decoded.format, decoded.bits, decoded.stored_bytes)

    def _window(self, stored: tuple[int, int] | None, shape: tuple[int, ...] | None) -> tuple[slice, slice]:
        """Rows and columns that are seen. `shape` is that of the decoded image; without it, the image's sides may be
        those `stored` or, where it lies on its side, these exchanged."""
        marked = [_marked(mask) for mask in self.masks]
        height, width = marked[0].shape
        if any(mask.shape != (height, width) for mask in marked) or (shape is not None and shape != (height, width)):
            raise UnreadableError("its mask has another height or width")
        if stored is not None and sorted(stored) != sorted((height, width)):
            raise UnreadableError("its mask has another height or width")
        points = np.logical_or.reduce(marked)
        if not points.any():
            return slice(0, height), slice(0, width)
        (top, bottom), (left, right) = (_ends(points.any(axis)) for axis in (1, 0))
        side = round(max(bottom - top, right - left) * (1 + 2 * _MARGIN))
        return _span(top, bottom, side, height), _span(left, right, side, width)


def _marked(mask: StoredImage) -> NDArray[np.bool_]:
    """(h, w): what a mask marks.

    Raises:
        UnreadableError: the mask cannot be read.
    """
    try:
        decoded = mask.read()
    except UnreadableError as error:
        raise UnreadableError(f"its mask: {error}") from error
    values = decoded.pixels if decoded.pixels.ndim == 2 else decoded.pixels.max(axis=2)
    return values >= (_LOSSY_MARK if decoded.format == "JPEG" else 1)


def _ends(line: NDArray[np.bool_]) -> tuple[int, int]:
    """Of the true values: the first position, and the one after the last."""
    positions = np.flatnonzero(line)
    return int(positions[0]), int(positions[-1]) + 1


def _span(start: int, stop: int, side: int, length: int) -> slice:
    """`side` positions around those from `start` to `stop`, moved into the image; all of it where it is shorter."""
    side = min(side, length)
    first = min(max(0, (start + stop - side) // 2), length - side)
    return slice(first, first + side)
