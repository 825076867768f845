"""Predictions kept beside a model, written while it serves and read back for drift checks.

Files that are being written, torn or foreign do no harm.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import hashlib
import io
import json
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from synaug_core.data import png
from synaug_core.names import slug
from synaug_core.services import places
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synaug_core.serving.answer import Answer
    from synaug_core.vocabulary import LogMode

__all__ = ["KIND", "LoggedImage", "PredictionLog", "log_folder", "read_recent"]

KIND = "synaug served 1"
_WAITING = 64
"""Answers that may wait to be written; more are dropped, and counted."""
_FILES = 16
_LARGEST_FILE = 32.0
_BATCH = 1.0
_log = logging.getLogger(__name__)
_LARGEST = 128 * 1_000_000
_CLOCK = 5.0
"""Seconds that a file system's clock may differ from ours."""


def log_folder(current: Settings, model: str) -> Path:
    """Where a registered model's predictions are kept."""
    return current.home / places.SERVED / slug(model)


class PredictionLog:
    """Takes answers and writes them in a thread of its own, with an fsync for each batch.

    A disk that is full or gone costs predictions their record, never a client the answer.

    Args:
        folder: of the model; made where there is none.
        mode: what is kept of an image.
        megabytes: most that the folder's files take; the oldest go first.
    """

    def __init__(self, folder: Path, mode: LogMode, megabytes: float) -> None:
        self._folder, self._mode = folder, mode
        self._most = int(megabytes * 1e6)
        self._file_most = int(min(_LARGEST_FILE, megabytes / _FILES) * 1e6)
        self._queue: queue.Queue[Answer | None] = queue.Queue(_WAITING)
        self._file: IO[bytes] | None = None
        self._version: str | None = None
        self._number = 0
        self._thread: threading.Thread | None = None
        self.written = 0
        self.dropped = 0
        self.problem: str | None = None

    def start(self) -> None:
        """Begin to write."""
        if self._mode != "none":
            self._thread = threading.Thread(target=self._run, name="synaug-log", daemon=True)
            self._thread.start()

    def put(self, answer: Answer) -> None:
        """Take an answer, or drop it where too many wait; returns at once."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(answer)
        except queue.Full:
            self.dropped += len(answer.names)

    def stop(self, patience: float = 10.0) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=patience)
            self._thread.join(patience)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            end = time.monotonic() + _BATCH
            while batch[-1] is not None and (left := end - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    batch.append(self._queue.get(timeout=left))
            ended = batch[-1] is None
            self._write([answer for answer in batch if answer is not None])
        self._close()

    def _write(self, batch: list[Answer]) -> None:
        done = 0
        try:
            for answer in batch:
                file = self._opened(answer)
                lines = self._lines(answer)
                file.write(b"".join(lines))
                done += len(lines)
            self._sync()
            self.written += done
            self.problem = None
        except OSError as error:
            self.dropped += sum(len(answer.names) for answer in batch)
            self.problem = f"predictions cannot be kept ({(error.strerror or 'unknown reason').lower()})"
            _log.warning("%s", self.problem)
            self._close()  # a torn line ends its file

    def _opened(self, answer: Answer) -> IO[bytes]:
        """The file for this answer: a new one for another version, and where the last one is full."""
        if self._file is not None and (self._version != answer.served.version or self._file.tell() >= self._file_most):
            self._sync()  # what it could not take is not counted as written
            self._close()
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room()
            self._number += 1
            stamp = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{self._number:06}-{secrets.token_hex(4)}"
            descriptor = os.open(self._folder / f"{stamp}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            self._version = answer.served.version
            self._file.write(_line(_head(answer)))
        return self._file

    def _lines(self, answer: Answer) -> list[bytes]:
        names, lines = answer.classes(), []
        for i, name in enumerate(names):
            row: dict[str, Any] = {
                "time": answer.when.isoformat(timespec="milliseconds"),
                "version": answer.served.version,
                "class": name,
                "probabilities": [round(p, 6) for p in answer.probabilities[i].tolist()],
                "digest": hashlib.sha256(answer.pixels[i].tobytes()).hexdigest()[:32],
            }
            if self._mode == "images":
                row["image"] = base64.b64encode(png.of_pixels(answer.pixels[i])).decode()
            else:
                row["features"] = base64.b64encode(answer.features[i].astype("<f4").tobytes()).decode()
            lines.append(_line(row))
        return lines

    def _make_room(self) -> None:
        """Delete the oldest files until a new one fits."""
        sizes = {path: path.stat().st_size for path in sorted(self._folder.glob("*.jsonl"))}
        for path, size in list(sizes.items()):
            if sum(sizes.values()) + self._file_most <= self._most:
                return
            path.unlink(missing_ok=True)
            sizes[path] -= size

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None


def _head(answer: Answer) -> dict[str, Any]:
    served = answer.served
    return {
        "kind": KIND,
        "model": served.name,
        "version": served.version,
        "alias": served.alias,
        "classes": list(served.classifier.classes),
        "channels": served.classifier.channels,
        "size": served.classifier.size,
    }


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, eq=False)
class LoggedImage:
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
) -> list[LoggedImage]:
    """The newest different images, newest first; equal pixels count once.

    Args:
        folder: of a model.
        most: images.
        since: none that is older.
        features_of: version whose features can be used; rows that hold features of other versions are left out.
            None: rows without an image are left out.
    """
    recent: list[LoggedImage] = []
    digests: set[str] = set()
    for changed, path in sorted(((_changed(path), path) for path in folder.glob("*.jsonl")), reverse=True):
        oldest = recent[most - 1].when.timestamp() if len(recent) >= most else 0.0
        if changed + _CLOCK < max(oldest, since.timestamp() if since else 0.0):
            break  # this file and all that follow end before
        for row in _rows(path):
            if since is not None and row.when < since:
                continue
            usable = row.pixels is not None or (features_of is not None and row.version == features_of)
            if usable and row.digest not in digests:
                digests.add(row.digest)
                recent.append(row)
        recent.sort(key=lambda row: row.when, reverse=True)
    return recent[:most]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile to make room
        return 0.0


def _rows(path: Path) -> Iterator[LoggedImage]:
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
            yield _row_from(json.loads(line))
        except (ValueError, KeyError, TypeError, OSError, SyntaxError):
            continue  # a torn last line, or one that somebody changed


def _row_from(row: Mapping[str, Any]) -> LoggedImage:
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
    return LoggedImage(when, str(row["version"]), str(row["class"]), str(row["digest"]), pixels, features)


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
