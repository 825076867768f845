"""What was found in the images, what was done about it, and what the user should know."""

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
]

DuplicateKind = Literal["exact", "near"]
Split = Literal["train", "val", "test"]
SplitOrigin = Literal["supplied", "made", "completed"]


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
    """Everything `prepare` has to say. Serialises to JSON."""

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
