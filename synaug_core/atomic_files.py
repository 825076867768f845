"""Files that are written as a whole or not at all."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, which takes its name when the block ends well and vanishes otherwise.

    Threads and processes may write the same file at once: the last one to end is read.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
