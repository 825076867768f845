"""The processes that belong to a SYNAUG_HOME, as /proc shows them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def processes_of(home: Path | str) -> set[int]:
    """Living processes that were started with this SYNAUG_HOME."""
    mark, found = f"SYNAUG_HOME={home}".encode(), set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or it has ended
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.add(int(place.name))
    return found
