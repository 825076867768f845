"""Whether a folder can be written, found out by writing; and what to do where it cannot."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass
from pathlib import Path

from synaug_core.errors import DiskFullError, UserError

__all__ = ["Trouble", "disk_full", "require_writable", "says_full", "trouble_with"]

_FULL = ("No space left on device", "Disk quota exceeded", "disk is full")
_ROOM = 2**16


@dataclass(frozen=True)
class Trouble:
    """Why a folder below SYNAUG_HOME cannot be written, and what to do."""

    found: str
    mend: str
    full: bool


def trouble_with(folder: Path, room: int = _ROOM) -> Trouble | None:
    """None where `folder`, made where it is not there, takes a file of `room` bytes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(room))
            file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _full(folder)
        reason = (error.strerror or "unknown reason").lower()
        return Trouble(f"{folder}: {reason}", "set SYNAUG_HOME to a folder you may write to", full=False)
    return None


def require_writable(folder: Path, room: int = _ROOM) -> None:
    """Nothing where a folder below SYNAUG_HOME takes a file of `room` bytes.

    Raises:
        DiskFullError: its disk has no such room.
        UserError: it cannot be made or written.
    """
    trouble = trouble_with(folder, room)
    if trouble is not None:
        raise (DiskFullError if trouble.full else UserError)(f"{trouble.found}; {trouble.mend}")


def disk_full(folder: Path) -> DiskFullError:
    """The error that a full disk below SYNAUG_HOME is told with."""
    trouble = _full(folder)
    return DiskFullError(f"{trouble.found}; {trouble.mend}")


def says_full(text: str) -> bool:
    """Whether an error's text, or a log's, tells of a full disk; databases say it in words of their own."""
    return any(words in text for words in _FULL)


def _full(folder: Path) -> Trouble:
    mend = "make room there, or set SYNAUG_HOME to a folder on another disk"
    return Trouble(f"no space left on the disk of {folder}", mend, full=True)
