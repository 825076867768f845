"""Pauses between tries."""

from __future__ import annotations

import random
import time

__all__ = ["pause"]


def pause(seconds: float) -> None:
    """Sleep for half of that up to all of it: those who failed together do not ask again together."""
    time.sleep(random.uniform(0.5, 1.0) * seconds)  # noqa: S311 - keeps nothing secret
