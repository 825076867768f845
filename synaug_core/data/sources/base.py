"""What a source of images gives: a listing, nothing decoded yet."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synaug_core.data.decode import Decoded, Limits, UnreadableError, check_bytes, decode, image_size
from synaug_core.data.report import Rejected, Split

__all__ = ["ArrayImage", "EncodedImage", "FileImage", "Item", "Listing", "RefusedImage", "StoredImage"]


class StoredImage(Protocol):
    """An image in its source, not yet decoded. Both methods raise `UnreadableError` with the reason."""

    def size(self) -> tuple[int, int]:
        """Height and width, without decoding."""
        ...

    def read(self) -> Decoded:
        """The pixels."""
        ...


@dataclass(frozen=True)
class FileImage:
    """An image file."""

    path: Path
    limits: Limits

    def size(self) -> tuple[int, int]:
        """Height and width."""
        try:
            with self.path.open("rb") as file:
                return image_size(file, self.limits)
        except OSError as error:
            raise UnreadableError(_failure(error)) from error

    def read(self) -> Decoded:
        """The pixels."""
        try:
            check_bytes(self.path.stat().st_size, self.limits)
            data = self.path.read_bytes()
        except OSError as error:
            raise UnreadableError(_failure(error)) from error
        return decode(data, self.limits)


@dataclass(frozen=True)
class ArrayImage:
    """An image that is in memory: uint8, (h, w) or (h, w, 3)."""

    pixels: NDArray[np.uint8]

    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self) -> Decoded:
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

    def read(self) -> Decoded:
        """The pixels."""
        return decode(self.data, self.limits)


@dataclass(frozen=True)
class RefusedImage:
    """A file that is not to be opened."""

    reason: str

    def size(self) -> tuple[int, int]:
        """Never known."""
        raise UnreadableError(self.reason)

    def read(self) -> Decoded:
        """Never opened."""
        raise UnreadableError(self.reason)


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

    `classes` may name classes without an item; `rejected` are files that belong to no class.
    """

    name: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()


def _failure(error: OSError) -> str:
    return f"cannot be opened ({error.strerror or type(error).__name__})"
