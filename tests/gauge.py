"""How many are at work at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Seen:
    """How many were inside at once, and how many in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = self.times = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self.now, self.times = self.now + 1, self.times + 1
            self.most = max(self.most, self.now)
        yield
        with self._lock:
            self.now -= 1
