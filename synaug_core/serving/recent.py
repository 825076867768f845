"""Kept predictions read back, the newest first. Files that are being written, torn or foreign do no harm."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaug_core.serving.log import KIND

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kept", "read_recent"]

_LARGEST = 128 * 1_000_000
_CLOCK = 5.0
"""Seconds that a file system's clock may differ from ours."""


@dataclass(frozen=True, eq=False)
class Kept:
    """One served image.

    Attributes:
        when: in UTC.
        version: that answered.
        predicted: class name.
        digest: of the pixels.
        pixels: uint8 (channels, size, size), where images were kept.
        features: float32 (d,), of that version, where these were kept.
    """

    when: dt.datetime
    version: str
    predicted: str
    digest: str
    pixels: NDArray[np.uint8] | None
    features: NDArray[np.float32] | None


def read_recent(
    folder: Path, *, most: int, since: dt.datetime | None = None, features_of: str | None = None
) -> list[Kept]:
    """The newest different images, newest first; equal pixels count once.

    Args:
        folder: of a model.
        most: images.
        since: none that is older.
        features_of: version whose features can be used; rows that hold features of other versions are left out.
            None: rows without an image are left out.
    """
    found: list[Kept] = []
    seen: set[str] = set()
    for changed, path in sorted(((_changed(path), path) for path in folder.glob("*.jsonl")), reverse=True):
        oldest = found[most - 1].when.timestamp() if len(found) >= most else 0.0
        if changed + _CLOCK < max(oldest, since.timestamp() if since else 0.0):
            break  # this file and all that follow end before
        for kept in _rows(path):
            if since is not None and kept.when < since:
                continue
            usable = kept.pixels is not None or (features_of is not None and kept.version == features_of)
            if usable and kept.digest not in seen:
                seen.add(kept.digest)
                found.append(kept)
        found.sort(key=lambda kept: kept.when, reverse=True)
    return found[:most]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile to make room
        return 0.0


def _rows(path: Path) -> Iterator[Kept]:
    """The rows of one file, newest first."""
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).split(b"\n")
        head = json.loads(lines[0])
    except (OSError, ValueError):
        return
    if not isinstance(head, dict) or head.get("kind") != KIND:
        return
    for line in reversed(lines[1:]):
        try:
            yield _kept(json.loads(line))
        except (ValueError, KeyError, TypeError, OSError, SyntaxError):
            continue  # a torn last line, or one that somebody changed


def _kept(row: Mapping[str, Any]) -> Kept:
    import numpy as np

    features = None
    if "features" in row:
        features = np.frombuffer(_bytes(row["features"]), dtype="<f4").astype(np.float32)
        if not len(features) or not np.isfinite(features).all():
            raise ValueError("features that are no numbers")
    pixels = _pixels(_bytes(row["image"])) if "image" in row else None
    when = dt.datetime.fromisoformat(row["time"])
    if when.tzinfo is None:
        raise ValueError("a time without its zone")
    return Kept(when, str(row["version"]), str(row["class"]), str(row["digest"]), pixels, features)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _pixels(data: bytes) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=["PNG"])
    if image.mode not in ("L", "RGB") or max(image.size) > 4096:
        raise ValueError("not one of our images")
    pixels = np.asarray(image)
    return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")
