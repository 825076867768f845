"""What can be seen of a source in about two seconds, before anything is started: what would be refused for certain, and
what a user would want to know first. Loads no torch."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synaug_core import digests, vocabulary
from synaug_core.config import DataConfig
from synaug_core.config.data import SMALL_PIXELS
from synaug_core.data import assign, checks, decode, duplicates, reading, report, sources, split, thinning
from synaug_core.data.sources.base import Item, Listing, StoredImage

__all__ = ["Overview", "take_overview"]

_SECONDS = 2.0
_BATCH = 128
_DECODED = 24
_LONG_LIST = 12
_SHOWN_ENDS = 4
_LARGE_FILE = 1e9
"""Bytes of one file that has to be read whole: more takes longer than a user waits for a first look."""
_COMPARED = 50_000
"""Images up to which equal ones are sought."""


@dataclass(frozen=True)
class Overview:
    """What a source holds, as far as it can be seen quickly.

    Attributes:
        source: as the user gave it.
        kind: of source, such as `folder`.
        classes: class -> its images.
        training: class -> about as many of them are for training, after the division and the low-data mode; classes
            that are left out for having too few are missing.
        sides: images of each side, about.
        origin: who made the division.
        division: what a division is called where there are several.
        groups: what has to stay together, 0 where no image says so.
        image_size: pixels a side that images are stored with.
        fit: how they are made square.
        heights: smallest, median and largest, in pixels; None where no header can be read.
        widths: likewise.
        colour: whether a sample of them has colour.
        inspected: images that were looked at one by one.
        seconds_per_image: to decode one, in a sample.
        findings: sentences on what is unusual.
        warnings: sentences on what the run would probably refuse, with what to type.
    """

    source: str
    kind: str
    classes: Mapping[str, int]
    training: Mapping[str, int]
    sides: Mapping[report.Split, int]
    origin: report.SplitOrigin
    division: Literal["fold", "draw"] | None
    groups: int
    image_size: int
    fit: vocabulary.Fit
    heights: tuple[int, int, int] | None
    widths: tuple[int, int, int] | None
    colour: bool
    inspected: int
    seconds_per_image: float
    findings: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def images(self) -> int:
        """All images of the classes."""
        return sum(self.classes.values())

    @property
    def rarest(self) -> str:
        """The class with the fewest training images, or else the fewest images."""
        return min(self.training, key=lambda name: (self.training[name], self.classes[name]))

    def lines(self) -> list[str]:
        """What is known, for people: a line for each fact, a line for each class where these are few."""
        named = f"{self.images:,} images in {len(self.classes)} classes"
        lines = [f"data: {self.source} ({self.kind}): {named}", *self._about_classes(), *self._about_images()]
        if self.inspected < self.images:
            lines.append(f"looked at {self.inspected:,} of {self.images:,} images; the run looks at all of them")
        return [*lines, *(f"note: {text}" for text in self.findings), *(f"warning: {text}" for text in self.warnings)]

    def _about_classes(self) -> list[str]:
        ordered = sorted(self.classes, key=lambda name: (-self.classes[name], name))
        shown: list[str | None] = [*ordered]
        if len(ordered) > _LONG_LIST:
            shown = [*ordered[:_SHOWN_ENDS], None, *ordered[-_SHOWN_ENDS:]]
        width = min(24, max(len(name) for name in shown if name))
        lines = []
        for name in shown:
            if name is None:
                lines.append(f"  ... {len(ordered) - 2 * _SHOWN_ENDS} more classes")
                continue
            use = "left out: too few" if name not in self.training else f"about {self.training[name]:,} to train on"
            mark = "  <- the rarest" if name == self.rarest else ""
            lines.append(f"  {name:<{width}} {self.classes[name]:>7,}   {use}{mark}")
        return lines

    def _about_images(self) -> list[str]:
        lines = []
        if self.heights is not None and self.widths is not None:
            smallest, largest = min(self.heights[0], self.widths[0]), max(self.heights[2], self.widths[2])
            extent = f"{smallest} px a side" if smallest == largest else f"{smallest} to {largest} px a side"
            median = f", {self.widths[1]} x {self.heights[1]} in the middle" if smallest != largest else ""
            kind = "colour" if self.colour else "grey"
            lines.append(f"images: {extent}{median}, {kind}; stored at {self.image_size} px ({self.fit})")
        words = {"supplied": "as they come", "made": "made here", "completed": "completed here"}
        sides = ", ".join(f"{self.sides[side]:,} {word}" for side, word in _WORDS.items())
        several = f", anew for each {self.division}" if self.division else ""
        grouped = f"; {self.groups:,} groups stay together" if self.groups else ""
        lines.append(f"split: {words[self.origin]}{several}: about {sides}{grouped}")
        return lines


_WORDS: dict[report.Split, str] = {"train": "for training", "val": "for validation", "test": "for the test"}


def take_overview(
    config: DataConfig, *, seed: int = 0, most_pixels: int = SMALL_PIXELS, seconds: float = _SECONDS
) -> Overview | None:
    """Look at a source. Headers are read and equal files are found, as many as the time allows; a few images are
    decoded; the division is made as a run makes it, but for nearly equal and related images.

    Args:
        config: the source and what is said of it.
        seed: root of the division.
        most_pixels: a side, where `config.image_size` does not say.
        seconds: after which no further image is looked at.

    Returns:
        None where a look would take long: the source is not on this machine, or one large file.

    Raises:
        DataError: a run would refuse the images, whatever else is in them; the line says what to type.
    """
    if not sources.is_built_in(config.source) and ("://" in config.source or _is_large(config)):
        return None
    deadline = time.monotonic() + seconds
    listing = reading.list_images(config)
    inspection = _inspect(listing.items, deadline)
    rejections = (*listing.rejected, *inspection.rejected)
    reading.check_rejected(rejections, len(listing.items) - len(inspection.rejected), config.max_rejected)
    refused = {r.path for r in inspection.rejected}
    items = [item for item in listing.items if item.id not in refused]
    owner = _equal(items, deadline)
    graph = duplicates.DuplicateGraph(owner, np.empty((0, 2), np.int64))
    division = _first_division(config)
    assigned = assign.assign(items, graph, np.empty((0, 2), np.int64), config, seed, division)
    possible, expected = _training(items, assigned, listing.classes, config, division is not None)
    images = Counter(item.label for item in items)
    classes = {name: images[name] for name in listing.classes}
    dropped = checks.small_classes(possible, classes, config.small_classes, config.min_per_class)
    expected = {name: count for name, count in expected.items() if name not in dropped}
    colour, seconds_per_image, damaged = _decode_some(items, deadline)
    fit = reading.default_fit(inspection.sides) if config.fit == "auto" else config.fit
    heights, widths = ([pair[n] for pair in inspection.sides] for n in (0, 1))
    return Overview(
        source=config.source,
        kind=sources.match_kind(config.source).name,
        classes=classes,
        training=expected,
        sides={side: sum(s == side for s in assigned.sides) for side in _WORDS} | {"train": sum(expected.values())},
        origin=assigned.origin,
        division=config.split.division_word,
        groups=len({item.group for item in items} - {None}),
        image_size=config.image_size or reading.default_size(inspection.sides, len(items), most_pixels),
        fit=fit,
        heights=reading.spread(heights) if heights else None,
        widths=reading.spread(widths) if widths else None,
        colour=colour,
        inspected=inspection.images,
        seconds_per_image=seconds_per_image,
        findings=tuple(_findings(listing, (*rejections, *damaged), graph, assigned)),
        warnings=tuple(_warnings(classes, possible, expected, config)),
    )


def _is_large(config: DataConfig) -> bool:
    path = sources.source_path(config.source)
    try:
        return path.is_file() and path.stat().st_size > _LARGE_FILE
    except OSError:
        return False


@dataclass(frozen=True)
class _Inspection:
    images: int
    sides: tuple[tuple[int, int], ...]
    rejected: tuple[report.Rejected, ...]


def _spread_out(count: int) -> list[int]:
    """All numbers below `count`, so that the first ones of any number are spread over the whole."""
    golden = (5**0.5 - 1) / 2
    return sorted(range(count), key=lambda n: (n * golden) % 1.0)


def _inspect(items: Sequence[Item], deadline: float) -> _Inspection:
    """Read headers until the time is over, of at least one batch."""

    def size_of(item: Item) -> tuple[int, int] | report.Rejected:
        try:
            return item.image.size()
        except decode.UnreadableError as error:
            return report.Rejected(path=item.id, reason=reading.reason_of(error))

    results: list[tuple[int, int] | report.Rejected] = []
    order = _spread_out(len(items))
    with ThreadPoolExecutor(4, thread_name_prefix="headers") as pool:
        for start in range(0, len(order), _BATCH):
            if start and time.monotonic() > deadline:
                break
            results += pool.map(size_of, [items[n] for n in order[start : start + _BATCH]])
    return _Inspection(
        images=len(results),
        sides=tuple(r for r in results if isinstance(r, tuple)),
        rejected=tuple(r for r in results if isinstance(r, report.Rejected)),
    )


def _equal(items: Sequence[Item], deadline: float) -> NDArray[np.int64]:
    """int64 (n,): images whose stored bytes are equal share a number, as far as the time allows."""
    keys = [str(n) for n in range(len(items))]
    if len(items) <= _COMPARED:
        by_length: dict[int, list[int]] = defaultdict(list)
        for n, item in enumerate(items):
            if n % _BATCH == 0 and time.monotonic() > deadline:
                break
            if (length := _length(item.image)) is not None:
                by_length[length].append(n)
        for rows in by_length.values():
            if len(rows) < 2:
                continue
            if time.monotonic() > deadline:
                break
            for n in rows:
                try:
                    keys[n] = digests.of_bytes(items[n].image.raw_bytes())
                except decode.UnreadableError:
                    continue
    return duplicates.exact_groups(keys)


def _length(image: StoredImage) -> int | None:
    try:
        return image.byte_count()
    except decode.UnreadableError:
        return None


def _decode_some(items: Sequence[Item], deadline: float) -> tuple[bool, float, list[report.Rejected]]:
    """Whether some of a few images have colour, the seconds that one takes, and those that cannot be decoded."""
    start, decoded, colour = time.monotonic(), 0, False
    damaged = []
    for n in _spread_out(len(items))[:_DECODED]:
        if decoded and time.monotonic() > deadline:
            break
        decoded += 1
        try:
            colour |= items[n].image.read().pixels.ndim == 3
        except decode.UnreadableError as error:
            damaged.append(report.Rejected(path=items[n].id, reason=reading.reason_of(error)))
    return colour, (time.monotonic() - start) / max(1, decoded), damaged


def _first_division(config: DataConfig) -> split.Fold | split.Draw | None:
    if config.split.folds is not None:
        return split.Fold(config.split.folds, 0, 0)
    return split.Draw(0) if config.split.draws else None


def _training(
    items: Sequence[Item],
    assigned: assign.Assigned,
    classes: Sequence[str],
    config: DataConfig,
    divides_anew: bool,
) -> tuple[dict[str, int], dict[str, int]]:
    """Class -> the most images that it can have in training, and how many it probably has."""
    removed = {r.id for r in assigned.removed}
    pool = (None, "train", "val") if divides_anew else (None, "train")
    most = Counter(item.label for item in items if item.split in pool and item.id not in removed)
    expected = Counter(item.label for item, side in zip(items, assigned.sides, strict=True) if side == "train")
    possible, probable = ({name: counts[name] for name in classes} for counts in (most, expected))
    if config.long_tail is not None:
        probable = thinning.profile(probable, config.long_tail)
    if config.per_class is not None:
        limits = thinning.class_limits(config.per_class, possible)
        possible, probable = ({c: min(n, limits[c]) for c, n in counts.items()} for counts in (possible, probable))
    return possible, probable


def _findings(
    listing: Listing,
    rejections: Sequence[report.Rejected],
    graph: duplicates.DuplicateGraph,
    assigned: assign.Assigned,
) -> list[str]:
    lines = list(listing.notes)
    if rejections:
        reasons = Counter(r.reason for r in rejections)
        frequent = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        one = rejections[0].path
        lines.append(f"{report.number(len(rejections), 'file')} cannot be used: {frequent} (such as {one}).")
    sizes = Counter(graph.owner.tolist())
    if equal := [size for size in sizes.values() if size > 1]:
        lines.append(
            f"{sum(equal)} images are equal to another, byte for byte, in {report.number(len(equal), 'group')}."
        )
    if assigned.conflicts:
        conflict = assigned.conflicts[0]
        pair = " and ".join(f"{name} ({label})" for name, label in zip(conflict.ids, conflict.classes, strict=True))
        lines.append(
            f"{report.number(len(assigned.conflicts), 'group')} of equal images have different labels, such as {pair}."
        )
    reasons = Counter(r.reason for r in assigned.removed)
    lines += [
        f"{report.number(count, 'image')} will be left out: {reason}." for reason, count in sorted(reasons.items())
    ]
    return lines + report.describe_leaks(assigned.leaks, assigned.origin)


def _warnings(
    classes: Mapping[str, int], possible: Mapping[str, int], expected: Mapping[str, int], config: DataConfig
) -> list[str]:
    """What depends on images that nobody has compared yet."""
    least = config.min_per_class
    doubtful = [name for name, count in expected.items() if count < least <= possible[name]]
    if not doubtful or config.small_classes == "keep":
        return []
    named = ", ".join(f"{name!r} (about {expected[name]} of {classes[name]} images)" for name in doubtful)
    if config.small_classes == "drop":
        return [f"fewer than {least} training images, so probably left out: {named}."]
    return [
        f"fewer than {least} training images, which the run will probably refuse: {named}. Add images, leave such "
        "classes out with --set data.small_classes=drop, or keep them with --set data.small_classes=keep."
    ]
