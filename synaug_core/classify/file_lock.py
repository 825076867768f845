"""A lock between processes that dies with its holder, and lines that a killed writer left half written."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from synaug_core.classify.lock import Lock

__all__ = ["FileLock", "mend_lines"]


class FileLock(Lock):
    """An exclusive lock on a file beside what it guards; the kernel frees it when its process ends.

    It also keeps the threads of one process apart. `path` None locks nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held = threading.local()

    def acquire(self) -> None:
        """Wait for the lock."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        self._held.descriptor = descriptor

    def release(self) -> None:
        """Let go of it; closing the file frees the lock."""
        if self._path is not None:
            os.close(self._held.descriptor)


def mend_lines(path: Path) -> None:
    """Cut off a last line without an end: its writer was killed, and the next line would be joined to it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
