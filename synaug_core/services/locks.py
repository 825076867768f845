"""One process at a time, on any file system that SQLite works on; a process that dies lets go."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from synaug_core.errors import SynaugError

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(path: Path, timeout: float = 120.0) -> Iterator[None]:
    """Hold the lock file `path`; threads and processes wait for each other.

    Raises:
        SynaugError: another process held the lock for `timeout` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as holder:
        try:
            holder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise SynaugError(f"{path} is held by another process ({error})") from error
        yield
