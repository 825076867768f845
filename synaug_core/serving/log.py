"""Predictions kept for later: JSON lines below `<home>/served/<model>/`, written behind the answers' back.

A file begins with a line that says what the others are: model, version, classes, and the images' shape. Each other
line is one image: `time`, `version`, `class`, `probabilities` (in the order of the classes), `digest` of the pixels,
and `features` (float32, base64) or `image` (a PNG of the pixels that the classifier saw, base64). File names, addresses
and tokens of clients are never kept. Only the owner may read the files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import queue
import secrets
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from synaug_core.data import png
from synaug_core.names import slug
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    from synaug_core.serving.answer import Answer
    from synaug_core.serving.options import LogMode

__all__ = ["KIND", "PredictionLog", "log_folder"]

KIND = "synaug served 1"
_WAITING = 64
"""Answers that may wait to be written; more are dropped, and counted."""
_FILES = 16
_LARGEST_FILE = 32.0
_BATCH = 1.0
_log = logging.getLogger(__name__)


def log_folder(current: Settings, model: str) -> Path:
    """Where a registered model's predictions are kept."""
    return current.home / "served" / slug(model)


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
        names, found = answer.classes(), []
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
            found.append(_line(row))
        return found

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
