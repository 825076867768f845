"""What was found in the images, what was done about it, and what the user should know."""

from collections import Counter
from typing import Literal

from synaug_core.frozen import Frozen

__all__ = [
    "Conflict",
    "DatasetReport",
    "Dropped",
    "DuplicateKind",
    "Duplicates",
    "ImageFacts",
    "Rejected",
    "Removed",
    "Split",
    "SplitOrigin",
    "describe_findings",
]

DuplicateKind = Literal["exact", "near"]
Split = Literal["train", "val", "test"]
SplitOrigin = Literal["supplied", "made", "completed"]
_LARGE_CLUSTER = 0.1


class Rejected(Frozen):
    """A file that was not used. `path` is relative to the source."""

    path: str
    reason: str


class ImageFacts(Frozen):
    """What the accepted images are like, before resizing."""

    images: int
    formats: dict[str, int]
    grey: int
    """Images without colour."""
    bits: dict[str, int]
    """Images by the full scale they were read with: 8, 12 or 16 bits."""
    height: tuple[int, int, int]
    """Smallest, median, largest, in pixels."""
    width: tuple[int, int, int]
    elongated: int
    """Images more than twice as long as wide."""
    enlarged: int
    """Images whose shorter side is smaller than the size they were given."""


class Duplicates(Frozen):
    """Images that are equal pixel by pixel, or nearly equal. `classes` and `splits` are in the order of `ids`."""

    kind: DuplicateKind
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[Split | None, ...]
    """None: removed before the images were split."""


class Conflict(Frozen):
    """Equal images with different labels."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]


class Removed(Frozen):
    """An image that was read and then left out."""

    id: str
    reason: str


class Dropped(Frozen):
    """A class that was left out for having too few training images."""

    name: str
    images: int
    """Its training images."""


class DatasetReport(Frozen):
    """What `prepare` read, removed and divided. Serialises to JSON."""

    source: str
    image_size: int
    channels: Literal[1, 3]
    classes: tuple[str, ...]
    split: SplitOrigin
    """By whom: the source, us, or us where the source left one out."""
    counts: dict[Split, dict[str, int]]
    """Images per split and class, at the end."""
    facts: ImageFacts
    rejected: tuple[Rejected, ...]
    duplicates: tuple[Duplicates, ...]
    conflicts: tuple[Conflict, ...]
    removed: tuple[Removed, ...]
    dropped: tuple[Dropped, ...]
    thinned: int
    """Training images left out for a long tail or the low-data mode."""
    notes: tuple[str, ...]
    """Lines a user should read."""


def describe_findings(report: DatasetReport, images: int) -> list[str]:
    """What is unusual about the data, in plain sentences. `images` were read in all."""
    lines: list[str] = []
    if report.rejected:
        reasons = Counter(r.reason for r in report.rejected)
        frequent_reasons = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        lines.append(f"{_n(len(report.rejected), 'file')} could not be used: {frequent_reasons}.")
    lines += _about_duplicates(report, images)
    reasons = Counter(r.reason for r in report.removed)
    lines += [f"{_n(count, 'image')} left out: {reason}." for reason, count in sorted(reasons.items())]
    if report.dropped:
        lines.append(
            "Classes left out for too few training images: "
            + ", ".join(f"{d.name} ({d.images})" for d in report.dropped) + "."
        )  # fmt: skip
    if report.thinned:
        lines.append(f"{_n(report.thinned, 'training image')} left out to make the long tail or the low-data set.")
    return lines + _about_pixels(report)


def _about_duplicates(report: DatasetReport, images: int) -> list[str]:
    lines = []
    for kind, word in (("exact", "equal"), ("near", "nearly equal")):
        groups = [d for d in report.duplicates if d.kind == kind]
        if groups:
            image_count = sum(len(d.ids) for d in groups)
            lines.append(f"{image_count} images are {word} to another, in {_n(len(groups), 'group')}.")
    if report.conflicts:
        lines.append(f"{_n(len(report.conflicts), 'group')} of equal images with different labels.")
    mixed_groups = sum(d.kind == "near" and len(set(d.classes)) > 1 for d in report.duplicates)
    if mixed_groups:
        lines.append(f"{_n(mixed_groups, 'group')} of nearly equal images with different labels: check their labels.")
    largest = max((len(d.ids) for d in report.duplicates), default=0)
    if largest > max(10, _LARGE_CLUSTER * images):
        lines.append(
            f"One group of nearly equal images holds {largest} of {images}: if they are not, raise "
            "data.duplicates.correlation or lower data.duplicates.distance."
        )
    return lines


def _about_pixels(report: DatasetReport) -> list[str]:
    facts, size = report.facts, report.image_size
    lines = []
    if len(facts.bits) > 1:
        depths = ", ".join(f"{count} of {bits} bits" for bits, count in facts.bits.items())
        lines.append(f"The images have different depths ({depths}); each was scaled to its own.")
    if facts.elongated:
        lines.append(
            f"More than twice as long as wide: {_n(facts.elongated, 'image')}; only the central square is used."
        )
    if facts.enlarged > facts.images / 2:
        lines.append(f"{facts.enlarged} of {facts.images} images are smaller than {size} px and were enlarged.")
    return lines


def _n(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
