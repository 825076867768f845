"""Decode every image once, in parallel, and keep only what later steps need."""

import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synaug_core import digests, errors, vocabulary
from synaug_core.config import DataConfig
from synaug_core.config.data import SMALL_PIXELS
from synaug_core.data import checks, decode, report, scaling, sources
from synaug_core.data.sources import metadata
from synaug_core.data.sources.base import Instructions, Item, Listing
from synaug_core.data.sources.labels import Labels
from synaug_core.progress import Progress, silent

__all__ = [
    "OF_CONTENT",
    "THUMBNAIL",
    "ReadImages",
    "Survey",
    "check_rejected",
    "default_fit",
    "default_size",
    "list_images",
    "open_source",
    "read_all",
    "reason_of",
    "spread",
    "survey",
]

_MOST_PIXELS = 2**28
"""Of all images together, where they are larger than that."""
_OBLONG = 1.25
"""So many times as long as wide: the central square leaves a fifth of the image out."""
THUMBNAIL = 32
"""Side of the grey thumbnails that near-duplicates are found by."""


@dataclass(frozen=True)
class ReadImages:
    """The accepted images, in the order of `items`.

    Attributes:
        items: where they come from.
        squares: uint8 arrays (size, size) where grey, else (size, size, 3).
        thumbnails: uint8, (n, 32, 32), grey, of the whole image.
        properties: name -> a number for each image: what may tell a class without what the image shows.
        digests: SHA-256 of each image's decoded pixels and shape, before resizing.
        facts: what they were like before resizing.
        rejected: those that were not accepted.
    """

    items: tuple[Item, ...]
    squares: tuple[NDArray[np.uint8], ...]
    thumbnails: NDArray[np.uint8]
    properties: Mapping[str, tuple[float, ...]]
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
    stored_bytes: int


def open_source(config: DataConfig) -> Listing:
    """List the images of `config.source` without decoding them; of a file that says more of them, the classes count.

    Raises:
        DataError: the source is missing, of no known kind, or empty; a file of labels cannot be read.
    """
    return _listed(config, metadata.labels_of(config))


def _listed(config: DataConfig, labels: Labels | None) -> Listing:
    instructions = Instructions(
        limits=decode.Limits(megapixels=config.max_megapixels, megabytes=config.max_megabytes),
        metadata=metadata.metadata_path(config),
        labels=labels if labels is not None and labels.has_labels else None,
        classes=config.classes,
        crops_to_masks=config.masks == "crop",
    )
    kind, path = sources.match_kind(config.source), sources.source_path(config.source)
    if config.masks == "crop" and not path.is_dir():
        raise errors.DataError("data.masks: only images in a folder have masks beside them")
    return kind.open(path, instructions)


def list_images(config: DataConfig) -> Listing:
    """The images of the chosen classes with all that is said of them, none decoded.

    Raises:
        DataError: as `open_source`; a file of labels or a class that does not fit; no image of the chosen classes.
    """
    labels = metadata.labels_of(config)
    listing = metadata.apply_metadata(_listed(config, labels), labels)
    classes = checks.choose_classes(listing.classes, config.classes, config.max_classes)
    chosen_names = set(classes)
    items = tuple(item for item in listing.items if item.label in chosen_names)
    if not items:
        raise errors.DataError(f"data.source: {config.source} has no images of {', '.join(classes)}")
    return replace(listing, items=items, classes=classes)


@dataclass(frozen=True)
class Survey:
    """What is read of images before any is resized.

    Attributes:
        sides: height and width of those whose header can be read.
        scale: what is white of more than 8 bits.
    """

    sides: tuple[tuple[int, int], ...]
    scale: scaling.Scale


def survey(items: Sequence[Item]) -> Survey:
    """Read headers, and the values of images of more than 8 bits."""

    def look_at(item: Item) -> tuple[tuple[int, int], scaling.Extent | None] | None:
        try:
            sides = item.image.size()
        except decode.UnreadableError:
            return None
        try:
            return sides, item.image.extent()
        except decode.UnreadableError:
            return sides, None

    with _pool() as pool:
        facts = [fact for fact in pool.map(look_at, items) if fact is not None]
    extents = (extent for _, extent in facts if extent is not None)
    return Survey(tuple(sides for sides, _ in facts), scaling.common_scale(extents))


def default_fit(sides: Sequence[tuple[int, int]]) -> vocabulary.Fit:
    """`pad` where the median image is so long that the central square leaves much of it out, else `crop`.

    Args:
        sides: height and width of each image.
    """
    ratios = [max(pair) / max(1, min(pair)) for pair in sides]
    return "pad" if ratios and statistics.median(ratios) >= _OBLONG else "crop"


def default_size(sides: Sequence[tuple[int, int]], images: int, most: int = SMALL_PIXELS) -> int:
    """The median shorter side, to the nearest multiple of 4, at least 16 pixels.

    Args:
        sides: height and width of the images whose header can be read.
        images: all of them.
        most: largest side. Above 64 pixels it is less where the images together would take too much memory.

    Returns:
        The most that there may be, if no header can be read.
    """
    affordable = int((_MOST_PIXELS / max(1, images)) ** 0.5) // 4 * 4
    most = min(most, max(SMALL_PIXELS, affordable))
    shorter = [min(pair) for pair in sides]
    return min(most, max(16, round(statistics.median(shorter) / 4) * 4)) if shorter else most


def read_all(
    items: Sequence[Item],
    size: int,
    preprocessing: scaling.Preprocessing = scaling.Preprocessing(),
    progress: Progress = silent,
) -> ReadImages:
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
            zip(items, pool.map(lambda i: _read_one(i, size, preprocessing), items), strict=True), start=1
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
    labels = [item.label for item in items_read]
    facts = report.ImageFacts(
        images=len(read_images),
        formats=_counted(o.format for o in read_images),
        grey=sum(len(o.shape) == 2 for o in read_images),
        bits=_counted(str(o.bits) for o in read_images),
        height=spread(heights),
        width=spread(widths),
        oblong=sum(max(h, w) >= _OBLONG * min(h, w) for h, w in zip(heights, widths, strict=True)),
        elongated=sum(max(h, w) > 2 * min(h, w) for h, w in zip(heights, widths, strict=True)),
        enlarged=sum(min(h, w) < size for h, w in zip(heights, widths, strict=True)),
        by_class=_unusual_by_class(read_images, labels, size),
    )
    return ReadImages(
        items=tuple(items_read),
        squares=tuple(o.square for o in read_images),
        thumbnails=np.stack([o.thumbnail for o in read_images]),
        properties=_properties(read_images),
        digests=tuple(o.digest for o in read_images),
        facts=facts,
        rejected=tuple(rejected),
    )


OF_CONTENT = ("The size of the files", "The mean brightness", "The brightness of the border")
"""Properties that depend on what the images show too."""


def _properties(images: Sequence[_ReadImage]) -> dict[str, tuple[float, ...]]:
    formats = sorted({image.format for image in images})
    thumbnails = np.stack([image.thumbnail for image in images]).astype(np.float64)
    border = np.ones((THUMBNAIL, THUMBNAIL), dtype=bool)
    border[1:-1, 1:-1] = False
    return {
        "The size of the files": tuple(float(image.stored_bytes) for image in images),
        "The format of the files": tuple(float(formats.index(image.format)) for image in images),
        "The ratio of width to height": tuple(image.shape[1] / image.shape[0] for image in images),
        "The length of the shorter side": tuple(float(min(image.shape[:2])) for image in images),
        "The bit depth": tuple(float(image.bits) for image in images),
        "Whether there is colour": tuple(float(len(image.shape) == 3) for image in images),
        "The mean brightness": tuple(thumbnails.mean(axis=(1, 2)).tolist()),
        "The brightness of the border": tuple(thumbnails[:, border].mean(axis=1).tolist()),
    }


def _unusual_by_class(images: Sequence[_ReadImage], labels: Sequence[str], size: int) -> dict[str, dict[str, int]]:
    """Kind of unusual image -> class -> how many; kinds and classes without any are left out."""
    usual_bits = Counter(image.bits for image in images).most_common(1)[0][0]
    has_colour = any(len(image.shape) == 3 for image in images)
    counts: dict[str, Counter[str]] = {}
    for image, label in zip(images, labels, strict=True):
        shorter, longer = min(image.shape[:2]), max(image.shape[:2])
        kinds = {
            "elongated": longer > 2 * shorter,
            "tiny": shorter < report.TINY,
            "enlarged": shorter < size,
            "of another bit depth": image.bits != usual_bits,
            "grey among colour": has_colour and len(image.shape) == 2,
        }
        for kind, is_so in kinds.items():
            if is_so:
                counts.setdefault(kind, Counter())[label] += 1
    return {kind: dict(sorted(by_class.items())) for kind, by_class in sorted(counts.items())}


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


def _read_one(item: Item, size: int, preprocessing: scaling.Preprocessing) -> _ReadImage | str:
    try:
        decoded = item.image.read(preprocessing.scale)
        fitted = decode.square(decoded.pixels, size, preprocessing.fit)
    except decode.UnreadableError as error:
        return reason_of(error)
    pixels = decoded.pixels
    grey = Image.fromarray(pixels).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return _ReadImage(
        square=fitted,
        thumbnail=np.asarray(grey),
        digest=digests.of_bytes(repr(pixels.shape).encode() + pixels.tobytes()),
        shape=pixels.shape,
        format=decoded.format,
        bits=decoded.bits,
        stored_bytes=decoded.stored_bytes,
    )


def reason_of(error: decode.UnreadableError) -> str:
    """Why an image is not accepted, with the key that would accept it."""
    return f"{error} (data.max_megapixels)" if isinstance(error, decode.TooManyPixelsError) else str(error)


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="decode")


def _first(rejected: Sequence[report.Rejected]) -> str:
    reasons = "; ".join(f"{r.path}: {r.reason}" for r in rejected[:3])
    return reasons + ("; ..." if len(rejected) > 3 else "")


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def spread(values: Sequence[int]) -> tuple[int, int, int]:
    """The smallest, the median and the largest."""
    return min(values), int(statistics.median(values)), max(values)
