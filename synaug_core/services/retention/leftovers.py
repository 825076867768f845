"""Old files in SYNAUG_HOME that can be made or fetched again: checkpoints, logs, copies of images and artifacts."""

import contextlib
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synaug_core.errors import SynaugError
from synaug_core.services import locks, places, processes, settings
from synaug_core.services.mlflow.artifacts import PART, part_owner

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


def find_leftovers(current: settings.Settings, days: float, now: float) -> list[Leftover]:
    """Those that were last written before `now` (seconds since 1970) minus `days`. A copy that is being fetched never
    is one; one that a process was fetching when it died is one at once."""
    return [leftover for leftover in _all(current) if _is_left(leftover.path, days, now)]


def remove_leftover(leftover: Leftover) -> bool:
    """Delete it, and say whether that was done: one that a process holds stays."""
    if leftover.lock is not None:
        try:
            with locks.exclusive(leftover.lock, timeout=0.1):
                shutil.rmtree(leftover.path, ignore_errors=True)
        except SynaugError:
            return False
    elif leftover.path.is_dir():
        shutil.rmtree(leftover.path, ignore_errors=True)
    else:
        leftover.path.unlink(missing_ok=True)
    return not leftover.path.exists()


def _all(current: settings.Settings) -> Iterator[Leftover]:
    for path in _inside(current.home / places.CHECKPOINTS):
        yield Leftover("checkpoints", path, _size(path))
    for path in _inside(current.home / places.LOGS):
        if path.suffix == ".log" and path.name[:1].isdigit():  # of one call each; a server's log goes on
            yield Leftover("logs", path, _size(path))
    for path in _inside(current.home / places.MIRRORS):
        yield Leftover("copies of images in S3", path, _size(path), places.mirror_lock(path))
    for path in _inside(current.cache):
        yield Leftover("copies of artifacts", path, _size(path))


def _is_left(path: Path, days: float, now: float) -> bool:
    if path.name.startswith(PART):
        owner = part_owner(path)
        if processes.is_dead(owner):
            return True
        if processes.is_alive(owner):
            return False
    return now - _last_written(path) >= days * _DAY


def _inside(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(p for p in folder.iterdir() if not p.is_symlink())
    return []


def _files(path: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # a folder that somebody tidies up meanwhile
        return [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    return []


def _size(path: Path) -> int:
    size = 0
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):  # somebody tidies up meanwhile
            size += file.stat(follow_symlinks=False).st_size
    return size


def _last_written(path: Path) -> float:
    """A mirror's journal is written anew each time it is used. What vanished meanwhile counts as written in future."""
    journal = path / "objects.jsonl"
    for file in (journal, path):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return file.stat().st_mtime
    return math.inf
