"""A lock between processes of several machines, kept by the database server that they share."""

from __future__ import annotations

import threading

from sqlalchemy import NullPool, create_engine, text

from synaug_core.classify.lock import Lock

__all__ = ["DatabaseLock"]


class DatabaseLock(Lock):
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
        """Let go of it; closing the connection frees the lock."""
        self._held.connection.close()
