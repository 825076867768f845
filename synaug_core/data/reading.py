"""Decode every image once, in parallel, and keep only what later steps need."""

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synaug_core import digests, errors, vocabulary
from synaug_core.config import DataConfig
from synaug_core.config.data import SMALL_PIXELS
from synaug_core.data import decode, metadata, report, sources
from synaug_core.data.resize import resize
from synaug_core.data.sources.base import Item, Listing
from synaug_core.progress import Progress, silent

__all__ = ["THUMBNAIL", "ReadImages", "check_rejected", "default_size", "open_source", "read_all"]

_MOST_PIXELS = 2**28
"""Of all images together, where they are larger than that."""
THUMBNAIL = 32
"""Side of the grey thumbnails that near-duplicates are found by."""


@dataclass(frozen=True)
class ReadImages:
    """The accepted images, in the order of `items`.

    Attributes:
        items: where they come from.
        squares: uint8 arrays (size, size) where grey, else (size, size, 3).
        thumbnails: uint8, (n, 32, 32), grey, of the whole image.
        digests: SHA-256 of each image's decoded pixels and shape, before resizing.
        facts: what they were like before resizing.
        rejected: those that were not accepted.
    """

    items: tuple[Item, ...]
    squares: tuple[NDArray[np.uint8], ...]
    thumbnails: NDArray[np.uint8]
    digests: tuple[str, ...]
    facts: report.ImageFacts
    rejected: tuple[report.Rejected, ...]

    @property
    def all_grey(self) -> bool:
        """True where no image has colour."""
        return self.facts.grey == len(self.items)


@dataclass(frozen=True)
class _ReadImage:
    square: NDArray[np.uint8]
    thumbnail: NDArray[np.uint8]
    digest: str
    shape: tuple[int, ...]
    format: str
    bits: int


def open_source(config: DataConfig) -> Listing:
    """List the images of `config.source` without decoding them.

    Raises:
        DataError: the source is missing, of no known kind, or empty.
    """
    limits = decode.Limits(megapixels=config.max_megapixels, megabytes=config.max_megabytes)
    return sources.match_kind(config.source).open(
        sources.source_path(config.source), limits, metadata.metadata_path(config)
    )


def default_size(items: Sequence[Item], most: int = SMALL_PIXELS) -> int:
    """The median shorter side, to the nearest multiple of 4, at least 16 pixels.

    Args:
        items: whose headers are read.
        most: largest side. Above 64 pixels it is less where the images together would take too much memory.

    Returns:
        The most that there may be, if no header can be read.
    """

    def side(item: Item) -> int | None:
        try:
            return min(item.image.size())
        except decode.UnreadableError:
            return None

    with _pool() as pool:
        sides = [s for s in pool.map(side, items) if s is not None]
    affordable = int((_MOST_PIXELS / max(1, len(items))) ** 0.5) // 4 * 4
    most = min(most, max(SMALL_PIXELS, affordable))
    return min(most, max(16, round(statistics.median(sides) / 4) * 4)) if sides else most


def read_all(items: Sequence[Item], size: int, fit: vocabulary.Fit = "crop", progress: Progress = silent) -> ReadImages:
    """Decode and resize all images. What cannot be read is listed with its reason.

    Raises:
        DataError: not one image can be read.
    """
    items_read: list[Item] = []
    read_images: list[_ReadImage] = []
    rejected: list[report.Rejected] = []
    report_interval = max(1, len(items) // 100)
    with _pool() as pool:
        for done, (item, result) in enumerate(
            zip(items, pool.map(lambda i: _read_one(i, size, fit), items), strict=True), start=1
        ):
            if isinstance(result, str):
                rejected.append(report.Rejected(path=item.id, reason=result))
            else:
                items_read.append(item)
                read_images.append(result)
            if done % report_interval == 0 or done == len(items):
                progress(done, len(items))
    if not read_images:
        raise errors.DataError(f"data.source: not one of {len(items)} files can be used: {_first(rejected)}")
    heights, widths = [o.shape[0] for o in read_images], [o.shape[1] for o in read_images]
    facts = report.ImageFacts(
        images=len(read_images),
        formats=_counted(o.format for o in read_images),
        grey=sum(len(o.shape) == 2 for o in read_images),
        bits=_counted(str(o.bits) for o in read_images),
        height=_spread(heights),
        width=_spread(widths),
        elongated=sum(max(h, w) > 2 * min(h, w) for h, w in zip(heights, widths, strict=True)),
        enlarged=sum(min(h, w) < size for h, w in zip(heights, widths, strict=True)),
    )
    return ReadImages(
        items=tuple(items_read),
        squares=tuple(o.square for o in read_images),
        thumbnails=np.stack([o.thumbnail for o in read_images]),
        digests=tuple(o.digest for o in read_images),
        facts=facts,
        rejected=tuple(rejected),
    )


def check_rejected(rejected: Sequence[report.Rejected], accepted: int, limit: float) -> None:
    """End the run where more than the share `limit` of the files could not be used.

    Raises:
        DataError: with the count, the share, the limit and the first reasons, in one line.
    """
    total = len(rejected) + accepted
    if len(rejected) > limit * total:
        raise errors.DataError(
            f"{len(rejected)} of {total} files ({len(rejected) / total:.1%}) cannot be used, over the limit of "
            f"{limit:.1%} (data.max_rejected): {_first(rejected)}"
        )


def _read_one(item: Item, size: int, fit: vocabulary.Fit) -> _ReadImage | str:
    try:
        decoded = item.image.read()
    except decode.TooManyPixelsError as error:
        return f"{error} (data.max_megapixels)"
    except decode.UnreadableError as error:
        return str(error)
    pixels = decoded.pixels
    grey = Image.fromarray(pixels).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return _ReadImage(
        square=resize(pixels, size, fit),
        thumbnail=np.asarray(grey),
        digest=digests.of_bytes(repr(pixels.shape).encode() + pixels.tobytes()),
        shape=pixels.shape,
        format=decoded.format,
        bits=decoded.bits,
    )


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="decode")


def _first(rejected: Sequence[report.Rejected]) -> str:
    reasons = "; ".join(f"{r.path}: {r.reason}" for r in rejected[:3])
    return reasons + ("; ..." if len(rejected) > 3 else "")


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _spread(values: list[int]) -> tuple[int, int, int]:
    return min(values), int(statistics.median(values)), max(values)
