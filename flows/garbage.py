"""Python's garbage collector, kept from looking through loaded libraries time and again."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["libraries_aside", "set_libraries_aside"]


@contextlib.contextmanager
def libraries_aside() -> Iterator[None]:
    """`set_libraries_aside` at once and as often as the block does it; after the block, all is as before."""
    set_libraries_aside()
    try:
        yield
    finally:
        gc.unfreeze()


def set_libraries_aside() -> None:
    """To be called when a run's libraries are loaded.

    Their objects, close to a million, stay until the process ends. A full collection would look at each of them, and
    every thread waits meanwhile: 0.6 seconds on a small machine, some five times in a retraining of a minute.
    """
    gc.freeze()
