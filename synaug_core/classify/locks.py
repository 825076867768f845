"""Locks between the processes of one search, freed when their holder ends, and lines that a killed writer left."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType

from filelock import FileLock
from sqlalchemy import NullPool, create_engine, text

__all__ = ["DatabaseLock", "Lock", "file_lock", "mend_lines", "study_lock"]

Lock = contextlib.AbstractContextManager[object]
"""Held by one thread of one process at a time, and freed when that process ends, however it ends."""


def file_lock(path: Path) -> FileLock:
    """An exclusive lock on a file beside what it guards, among processes and the threads of each; it waits."""
    return FileLock(path, mode=0o600, poll_interval=0.01)


class DatabaseLock:
    """An exclusive lock within a PostgreSQL database; the server frees it when its holder's connection ends.

    Args:
        url: of the database.
        name: of the lock; others with this name wait for each other.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._held = threading.local()

    def acquire(self) -> None:
        """Wait for the lock.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        connection = engine.connect()
        try:
            connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), {"name": self._name})
        except BaseException:
            connection.close()
            raise
        self._held.connection = connection

    def release(self) -> None:
        """Free the lock by closing its connection."""
        self._held.connection.close()

    def __enter__(self) -> DatabaseLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def study_lock(storage: str, name: str) -> Lock:
    """What processes wait for: a file beside a local one, whatever the name; in PostgreSQL a lock of this name. Other
    database servers have none."""
    if storage.startswith(("postgresql:", "postgresql+")):
        return DatabaseLock(storage, name)
    if "://" in storage and not storage.startswith("sqlite:///"):
        return contextlib.nullcontext()
    return file_lock(Path(storage.removeprefix("sqlite:///") + ".ask"))


def mend_lines(path: Path) -> None:
    """Cut off a last line without an end: its writer was killed, and the next line would be joined to it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
