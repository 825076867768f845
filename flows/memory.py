"""What the C library does with memory that tensors have left."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 32 * 2**20  # bytes; where glibc itself ends up when nobody sets a threshold


def keep_freed_memory() -> None:
    """Keep what tensors of up to 32 MiB leave for the next ones, as a process does that nobody told otherwise.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536. Every larger tensor then goes back to the system and is
    fetched from it again, page by page: half as much time again in each training step. Only glibc is asked.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)
