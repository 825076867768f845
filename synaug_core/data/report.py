"""What was found in the images, what was done about it, and what the user should know."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from synaug_core import vocabulary
from synaug_core.data import scaling
from synaug_core.data.shortcuts import Shortcut
from synaug_core.frozen import Frozen

__all__ = [
    "TINY",
    "Conflict",
    "DatasetReport",
    "Dropped",
    "DuplicateKind",
    "Duplicates",
    "ImageFacts",
    "Leak",
    "Rejected",
    "Removed",
    "Split",
    "SplitOrigin",
    "describe_findings",
    "describe_leaks",
    "number",
]

DuplicateKind = Literal["exact", "near", "related"]
Split = Literal["train", "val", "test"]
SplitOrigin = Literal["supplied", "made", "completed"]
_LARGE_CLUSTER = 0.1
TINY = 8
"""Pixels a side: on fewer there is nothing to see."""


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
    """Images by the bits that hold their values: 8, 10, 12, 14 or 16."""
    height: tuple[int, int, int]
    """Smallest, median, largest, in pixels."""
    width: tuple[int, int, int]
    oblong: int = 0
    """Images at least 1.25 times as long as wide."""
    elongated: int
    """Images more than twice as long as wide."""
    enlarged: int
    """Images whose shorter side is smaller than the size they were given."""
    by_class: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Kind of unusual image (elongated, tiny, enlarged, of another bit depth, grey among colour) -> class -> images."""


class Duplicates(Frozen):
    """Images that are equal pixel by pixel, nearly equal, or related: probable views of one thing, joined to be kept on
    one side. `classes` and `splits` are in the order of `ids`."""

    kind: DuplicateKind
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[Split | None, ...]
    """None: removed before the images were split."""


class Conflict(Frozen):
    """Equal images with different labels."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]


class Leak(Frozen):
    """Images of a later side that seem to belong to training images."""

    clue: Literal["look", "name"]
    """They are related to them, or their names are of the same series."""
    split: Split
    images: int
    total: int
    """Images of that side."""
    example: str
    """Id of one of them."""
    training_example: str
    """Id of a training image that it seems to belong to."""
    group: str
    """A name for the group of both."""


class Removed(Frozen):
    """An image that was read and then left out."""

    id: str
    reason: str
    """Equal for all images that were left out for the same, so that they can be counted by it."""
    group: str | None = None
    """The image's, where it was left out for being of it."""


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
    preprocessing: scaling.Preprocessing = scaling.Preprocessing()
    """How image files became squares of 8 bits."""
    rejected: tuple[Rejected, ...]
    duplicates: tuple[Duplicates, ...]
    conflicts: tuple[Conflict, ...]
    removed: tuple[Removed, ...]
    leaks: tuple[Leak, ...] = ()
    dropped: tuple[Dropped, ...]
    thinned: int
    """Training images left out for a long tail or the low-data mode."""
    shortcuts: tuple[Shortcut, ...] = ()
    """Classes that a property of the files alone tells from the others."""
    notes: tuple[str, ...]
    """Lines a user should read."""


_ON_FIT: dict[vocabulary.Fit, str] = {
    "crop": "of each only the central square is used, and what lies outside it is never seen, though it may be what "
    "tells the class (data.fit: pad or stretch keeps it)",
    "pad": "their edges are repeated, so that the whole image is seen (data.fit)",
    "stretch": "they are stretched, so that the whole image is seen, in other proportions (data.fit)",
}


def describe_findings(report: DatasetReport, images: int) -> list[str]:
    """What is unusual about the data, in plain sentences. `images` were read in all."""
    lines: list[str] = []
    if report.rejected:
        reasons = Counter(r.reason for r in report.rejected)
        frequent_reasons = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        lines.append(f"{number(len(report.rejected), 'file')} could not be used: {frequent_reasons}.")
    lines += [*_about_duplicates(report, images), *describe_leaks(report.leaks, report.split)]
    reasons = Counter(r.reason for r in report.removed)
    lines += [f"{number(count, 'image')} left out: {reason}." for reason, count in sorted(reasons.items())]
    if report.dropped:
        lines.append(
            "Classes left out for too few training images: "
            + ", ".join(f"{d.name} ({d.images})" for d in report.dropped) + "."
        )  # fmt: skip
    if report.thinned:
        lines.append(f"{number(report.thinned, 'training image')} left out to make the long tail or the low-data set.")
    return lines + _about_pixels(report)


def _about_duplicates(report: DatasetReport, images: int) -> list[str]:
    lines = []
    for kind, word in (("exact", "equal"), ("near", "nearly equal")):
        groups = [d for d in report.duplicates if d.kind == kind]
        if groups:
            image_count = sum(len(d.ids) for d in groups)
            lines.append(f"{image_count} images are {word} to another, in {number(len(groups), 'group')}.")
    if report.conflicts:
        lines.append(f"{number(len(report.conflicts), 'group')} of equal images with different labels.")
    mixed_groups = sum(d.kind == "near" and len(set(d.classes)) > 1 for d in report.duplicates)
    if mixed_groups:
        lines.append(
            f"{number(mixed_groups, 'group')} of nearly equal images with different labels: check their labels."
        )
    largest = max((len(d.ids) for d in report.duplicates if d.kind != "related"), default=0)
    if largest > max(10, _LARGE_CLUSTER * images):
        lines.append(
            f"One group of nearly equal images holds {largest} of {images}: if they are not, raise "
            "data.duplicates.correlation or lower data.duplicates.distance."
        )
    if sizes := [len(d.ids) for d in report.duplicates if d.kind == "related"]:
        lines.append(
            f"{sum(sizes)} images are probably views of the same thing as another (in other light, a neighbouring "
            f"frame, an overlapping patch), in {number(len(sizes), 'group')} of up to {max(sizes)} images, each on one "
            "side."
        )
    return lines


def describe_leaks(leaks: Sequence[Leak], origin: SplitOrigin) -> list[str]:
    """What pairs images across sides, and the lines of metadata that keep them together."""
    names: dict[Split, str] = {"val": "validation", "test": "test"}
    lines = []
    for leak in leaks:
        amount = f"{leak.images} of {leak.total} {names[leak.split]} images"
        pair = f"(such as {leak.example} and {leak.training_example})"
        if leak.clue == "look":
            lines.append(
                f"{amount} are probably views of the same thing as a training image, in other light, a neighbouring "
                f"frame or an overlapping patch {pair}."
            )
        else:
            lines.append(f"The names of {amount} begin as those of training images do {pair}.")
    if lines:
        leak, supplied = leaks[-1], ""
        if origin == "supplied":
            supplied = "then the figures are too good, and the split that came with the images was left as it is; "
        lines.append(
            f"If such images belong together, {supplied}name their groups in a CSV file for data.metadata, which a "
            "split does not cut through: its first line is id,group and each further one an image and its group, such "
            f"as {leak.example},{leak.group}."
        )
    return lines


def _about_pixels(report: DatasetReport) -> list[str]:
    facts, size = report.facts, report.image_size
    lines = []
    if len(facts.bits) > 1:
        depths = ", ".join(f"{count} of {bits} bits" for bits, count in facts.bits.items())
        scale = report.preprocessing.scale
        white = " and ".join(str(value) for value in (scale.integer, scale.real) if value is not None)
        lines.append(
            f"The images' values reach different depths ({depths}); beyond 8 bits {white} is white in all of them. "
            "Images of other devices than these may be too dark: bring them to one depth."
        )
    if facts.oblong:
        lines.append(
            f"{facts.oblong} of {number(facts.images, 'image')} are at least 1.25 times as long as wide, "
            f"{facts.elongated} more than twice: {_ON_FIT[report.preprocessing.fit]}."
        )
    tiny = sum(facts.by_class.get("tiny", {}).values())
    if tiny:
        lines.append(
            f"{number(tiny, 'image')} with a side of less than {TINY} px: enlarged, such show next to nothing."
        )
    if facts.enlarged > facts.images / 2:
        lines.append(f"{facts.enlarged} of {facts.images} images are smaller than {size} px and were enlarged.")
    return lines + [shortcut.sentence() for shortcut in report.shortcuts]


def number(count: int, thing: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
