"""What is exclusive while it is held."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Lock"]


class Lock(ABC):
    """Held by one thread of one process at a time, and freed when that process ends, however it ends."""

    @abstractmethod
    def acquire(self) -> None:
        """Wait for the lock."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
