"""Whether a folder can be written, found out by writing; and what to do where it cannot."""

import errno
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from synaug_core.errors import DiskFullError, Reason, UserError, causes

__all__ = ["Trouble", "disk_full", "is_disk_full", "require_writable", "says_full", "trouble_with"]

_FULL = ("No space left on device", "Disk quota exceeded", "disk is full")
_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_SQLSTATE = "53100"
_ROOM = 2**16


@dataclass(frozen=True)
class Trouble:
    """Why a folder below SYNAUG_HOME cannot be written, and what to do."""

    problem: str
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
        if error.errno in _ERRNOS:
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
        raise (DiskFullError if trouble.full else UserError)(f"{trouble.problem}; {trouble.mend}", reason=Reason.HOME)


def disk_full(folder: Path) -> DiskFullError:
    """The error that a full disk below SYNAUG_HOME is told with."""
    trouble = _full(folder)
    return DiskFullError(f"{trouble.problem}; {trouble.mend}", reason=Reason.HOME)


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk is behind an error of the system or of a database."""
    return any(
        getattr(cause, "errno", None) in _ERRNOS
        or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(cause, "sqlstate", None) == _SQLSTATE
        for cause in causes(error)
    )


def says_full(text: str) -> bool:
    """Whether the log of another process, of which there is nothing but text, tells of a full disk."""
    return any(words in text for words in _FULL)


def _full(folder: Path) -> Trouble:
    mend = "make room there, or set SYNAUG_HOME to a folder on another disk"
    return Trouble(f"no space left on the disk of {folder}", mend, full=True)
