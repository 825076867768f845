"""Python's garbage collector, kept from looking through loaded libraries time and again."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["libraries_aside", "set_libraries_aside"]

_blocks: list[None] = []


@contextlib.contextmanager
def libraries_aside() -> Iterator[None]:
    """`set_libraries_aside` at once, and again where the block does it; the end of the outermost block undoes it."""
    _blocks.append(None)
    set_libraries_aside()
    try:
        yield
    finally:
        _blocks.pop()
        if not _blocks:
            gc.unfreeze()


def set_libraries_aside() -> None:
    """To be called when libraries were loaded: no collection looks at what there is now, until the block ends.

    A full collection would look at each of close to a million objects that stay anyway, and every thread waits
    meanwhile: 0.6 seconds on a small machine, some five times in a retraining of a minute. Garbage in cycles that is
    there already waits too.
    """
    gc.freeze()
