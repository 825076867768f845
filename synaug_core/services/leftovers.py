"""Old files in SYNAUG_HOME that can be made or fetched again: checkpoints, logs, copies of images and artifacts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synaug_core.errors import SynaugError
from synaug_core.services.locks import exclusive
from synaug_core.services.settings import Settings

__all__ = ["Leftover", "find_leftovers", "remove_leftover"]

_DAY = 86_400.0


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody has used for the time asked for.

    Attributes:
        kind: in words, for a table.
        path: the file or folder.
        size: bytes.
        lock: what a process holds while it uses the path.
    """

    kind: str
    path: Path
    size: int
    lock: Path | None = None


def find_leftovers(current: Settings, days: float, now: float) -> list[Leftover]:
    """Those that were last written before `now` (seconds since 1970) minus `days`."""
    return [left for left in _all(current) if now - _last_written(left.path) >= days * _DAY]


def remove_leftover(left: Leftover) -> bool:
    """Delete it, and say whether that was done: one that a process holds stays."""
    if left.lock is not None:
        try:
            with exclusive(left.lock, timeout=0.1):
                shutil.rmtree(left.path, ignore_errors=True)
        except SynaugError:
            return False
    elif left.path.is_dir():
        shutil.rmtree(left.path, ignore_errors=True)
    else:
        left.path.unlink(missing_ok=True)
    return not left.path.exists()


def _all(current: Settings) -> Iterator[Leftover]:
    for path in _inside(current.home / "checkpoints"):
        yield Leftover("checkpoints", path, _size(path))
    for path in _inside(current.home / "logs"):
        if path.suffix == ".log" and path.name[:1].isdigit():  # of one call each; a server's log goes on
            yield Leftover("logs", path, _size(path))
    for path in _inside(current.home / "mirrors"):
        yield Leftover("copies of images in S3", path, _size(path), current.home / "locks" / f"mirror-{path.name}.lock")
    for path in _inside(current.cache):
        yield Leftover("copies of artifacts", path, _size(path))


def _inside(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(p for p in folder.iterdir() if not p.is_symlink())
    return []


def _files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]


def _size(path: Path) -> int:
    return sum(f.stat(follow_symlinks=False).st_size for f in _files(path))


def _last_written(path: Path) -> float:
    """A mirror's journal is written anew each time it is used."""
    journal = path / "objects.jsonl"
    return (journal if journal.is_file() else path).stat().st_mtime
