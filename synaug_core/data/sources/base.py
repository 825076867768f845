"""What a source of images gives: a listing, nothing decoded yet."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synaug_core.data.decode import Decoded, Limits, UnreadableError, check_bytes, decode, extent, image_size
from synaug_core.data.report import Rejected, Split
from synaug_core.data.scaling import Extent, Scale
from synaug_core.data.sources.labels import Labels

__all__ = ["ArrayImage", "EncodedImage", "FileImage", "Instructions", "Item", "Listing", "RefusedImage", "StoredImage"]


class StoredImage(Protocol):
    """An image in its source, not yet decoded. Its methods raise `UnreadableError` with the reason."""

    def size(self) -> tuple[int, int]:
        """Height and width, without decoding."""
        ...

    def extent(self) -> Extent | None:
        """The smallest and the largest stored value; None where there are 8 bits, without decoding."""
        ...

    def byte_count(self) -> int:
        """How many bytes it has as stored."""
        ...

    def raw_bytes(self) -> bytes:
        """The bytes as stored."""
        ...

    def read(self, scale: Scale = Scale()) -> Decoded:
        """The pixels; `scale` says what is white of more than 8 bits."""
        ...


@dataclass(frozen=True)
class FileImage:
    """An image file."""

    path: Path
    limits: Limits

    def size(self) -> tuple[int, int]:
        """Height and width."""
        with self._open() as file:
            return image_size(file, self.limits)

    def extent(self) -> Extent | None:
        """The smallest and the largest stored value."""
        with self._open() as file:
            return extent(file, self.limits)

    def byte_count(self) -> int:
        """The length of the file."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise UnreadableError(_failure(error)) from error

    def raw_bytes(self) -> bytes:
        """The content of the file, if it is not too long."""
        check_bytes(self.byte_count(), self.limits)
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableError(_failure(error)) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[io.BufferedReader]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise UnreadableError(_failure(error)) from error

    def read(self, scale: Scale = Scale()) -> Decoded:
        """The pixels."""
        return decode(self.raw_bytes(), self.limits, scale)


@dataclass(frozen=True)
class ArrayImage:
    """An image that is in memory: uint8, (h, w) or (h, w, 3)."""

    pixels: NDArray[np.uint8]

    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def extent(self) -> Extent | None:
        """Always of 8 bits."""
        return None

    def byte_count(self) -> int:
        """One for each value."""
        return self.pixels.nbytes

    def raw_bytes(self) -> bytes:
        """The values."""
        return self.pixels.tobytes()

    def read(self, scale: Scale = Scale()) -> Decoded:
        """The pixels."""
        pixels = self.pixels
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        return Decoded(np.ascontiguousarray(pixels), "array", 8)


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image file, in memory."""

    data: bytes = field(repr=False)
    limits: Limits

    def size(self) -> tuple[int, int]:
        """Height and width."""
        return image_size(io.BytesIO(self.data), self.limits)

    def extent(self) -> Extent | None:
        """The smallest and the largest stored value."""
        return extent(io.BytesIO(self.data), self.limits)

    def byte_count(self) -> int:
        """The length of the file."""
        return len(self.data)

    def raw_bytes(self) -> bytes:
        """The bytes of the file."""
        return self.data

    def read(self, scale: Scale = Scale()) -> Decoded:
        """The pixels."""
        return decode(self.data, self.limits, scale)


@dataclass(frozen=True)
class RefusedImage:
    """A file that is not to be opened."""

    reason: str

    def size(self) -> tuple[int, int]:
        """Never known."""
        raise UnreadableError(self.reason)

    def extent(self) -> Extent | None:
        """Never known."""
        raise UnreadableError(self.reason)

    def byte_count(self) -> int:
        """Never known."""
        raise UnreadableError(self.reason)

    def raw_bytes(self) -> bytes:
        """Never read."""
        raise UnreadableError(self.reason)

    def read(self, scale: Scale = Scale()) -> Decoded:
        """Never opened."""
        raise UnreadableError(self.reason)


@dataclass(frozen=True)
class Instructions:
    """What a user says of a source besides its place.

    Attributes:
        limits: of each image.
        metadata: a file that is no image, links resolved.
        labels: what a file says of the images, where it names their classes and no folder does.
        classes: the classes, where the user names them: what looks like another level is none, and empty ones count.
        crops_to_masks: whether images are cut to what masks beside them mark.
    """

    limits: Limits = field(default_factory=Limits)
    metadata: Path | None = None
    labels: Labels | None = None
    classes: tuple[str, ...] | None = None
    crops_to_masks: bool = False


@dataclass(frozen=True)
class Item:
    """One image of a source: its id (unique in the source), class, supplied split and group if there are any."""

    id: str
    label: str
    image: StoredImage
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a source, in an order that is the same each time.

    `classes` may name classes without an item; `rejected` are files that belong to no class; `notes` are what the user
    should know of how the source was understood.
    """

    name: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()


def _failure(error: OSError) -> str:
    return f"cannot be opened ({error.strerror or type(error).__name__})"
