"""One process at a time, on any file system that SQLite works on; a process that dies lets go."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from synaug_core.errors import SynaugError
from synaug_core.services.writable import disk_full, is_disk_full, require_writable

__all__ = ["exclusive"]

_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIMARY = 0xFF  # extended codes have more bits


@contextlib.contextmanager
def exclusive(path: Path, timeout: float = 120.0) -> Iterator[None]:
    """Hold the lock file `path`; threads and processes wait for each other.

    Raises:
        SynaugError: another process held the lock for `timeout` seconds, or the file is no lock.
        DiskFullError: there is no room for it.
        UserError: its folder cannot be written.
    """
    with contextlib.closing(_held(path, timeout)):
        yield


def _held(path: Path, timeout: float) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as unless_held:
            holder = sqlite3.connect(path, timeout=timeout, isolation_level=None)
            unless_held.callback(holder.close)
            holder.execute("BEGIN EXCLUSIVE")
            unless_held.pop_all()
            return holder
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _HELD:
            raise SynaugError(f"{path} is held by another process ({error})") from error
        require_writable(path.parent)
        if is_disk_full(error):  # room for a small file, and none for the lock
            raise disk_full(path.parent) from error
        raise SynaugError(f"{path} cannot be locked ({error}); delete it while nothing runs") from error
