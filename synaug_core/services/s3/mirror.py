"""Data sets in S3: a fingerprint without reading them, and a local mirror that is read as any folder.

A journal remembers which version each file of a mirror is.
"""

import contextlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synaug_core import digests, errors
from synaug_core.names import slug
from synaug_core.progress import Progress, silent
from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services import locks, places, settings
from synaug_core.services.s3.client import THREADS, StoredObject, explaining, listed, s3_client
from synaug_core.services.s3.download import LARGE, download
from synaug_core.services.s3.names import RefusedObject, sorted_out, why_not_a_path

__all__ = ["Folder", "Mirror", "RefusedObject", "bucket_fingerprint", "mirrored", "update"]

_SPARE = 64 * 2**20  # bytes that a download leaves free
_LONGEST_TURN = 12 * 3600.0  # seconds that another process may take with the same mirror


@dataclass(frozen=True)
class Folder:
    """Where a mirror lies: its files below `files`, beside them the journal and what is not whole yet."""

    place: Path
    files: Path

    @property
    def journal(self) -> Path:
        """One JSON line for each file that was written; of two for a file the later one counts."""
        return self.place / "objects.jsonl"

    @property
    def parts(self) -> Path:
        """Downloads under way; on the same disk, so that a whole one is given its name at once."""
        return self.place / "parts"


def update(
    folder: Folder, client: Any, address: S3Address, objects: Sequence[StoredObject], progress: Progress
) -> tuple[int, int]:
    """Make the folder's files those objects: plain names, each once, none of which is the folder of another.

    Returns:
        The numbers of files written and deleted.

    Raises:
        SynaugError: the disk has no room. Others as `download`.
    """
    shutil.rmtree(folder.parts, ignore_errors=True)
    folder.parts.mkdir(parents=True)
    folder.files.mkdir(parents=True, exist_ok=True)
    recorded = _read(folder.journal)
    removed = _remove_others(folder.files, {o.name for o in objects})
    current_versions = {
        o.name: recorded[o.name] for o in objects if _is_current(folder.files / o.name, o, recorded.get(o.name))
    }
    missing = [o for o in objects if o.name not in current_versions]
    _check_room(folder, missing)
    _rewrite(folder.journal, current_versions)
    if missing:
        _Fetching(folder, client, address, missing, progress).run()
    shutil.rmtree(folder.parts, ignore_errors=True)
    return len(missing), removed


class _Fetching:
    """Objects on their way: the large ones one after the other, each in parts at once; then the small ones at once."""

    def __init__(
        self, folder: Folder, client: Any, address: S3Address, missing: Sequence[StoredObject], progress: Progress
    ) -> None:
        self._folder, self._client, self._address, self._progress = folder, client, address, progress
        self._large = [o for o in missing if o.size >= LARGE]
        self._small: Iterator[StoredObject] = iter([o for o in missing if o.size < LARGE])
        self._total, self._done = len(missing), 0
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self) -> None:
        self._progress(0, self._total)
        for stored in self._large:
            self._fetch(stored)
        left = self._total - len(self._large)
        if not left:
            return
        with ThreadPoolExecutor(min(THREADS, left), thread_name_prefix="s3") as pool:
            workers = [pool.submit(self._work) for _ in range(min(THREADS, left))]
            try:
                for worker in workers:
                    worker.result()
            finally:
                self._stop.set()  # what is under way ends, nothing else begins

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    stored = next(self._small, None)
                if stored is None:
                    return
                self._fetch(stored)
        except BaseException:
            self._stop.set()
            raise

    def _fetch(self, stored: StoredObject) -> None:
        part, target = self._folder.parts / uuid.uuid4().hex, self._folder.files / stored.name
        try:
            download(self._client, self._address, stored, part)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        line = _line(stored.name, _version(stored, target))
        with self._lock:
            with self._folder.journal.open("a", encoding="utf-8") as journal:
                journal.write(line)
            self._done += 1
            self._progress(self._done, self._total)


def _version(stored: StoredObject, file: Path) -> list[Any]:
    """Which version a file is, and by what it is seen that nobody wrote to it since."""
    return [stored.etag or stored.modified, stored.size, file.stat().st_mtime_ns]


def _is_current(file: Path, stored: StoredObject, recorded: list[Any] | None) -> bool:
    try:
        return recorded is not None and file.stat().st_size == stored.size and recorded == _version(stored, file)
    except OSError:
        return False


def _line(name: str, version: list[Any]) -> str:
    return json.dumps([name, version]) + "\n"


def _read(journal: Path) -> dict[str, list[Any]]:
    """What the journal knows; a line that a killed process left half is nothing known."""
    versions: dict[str, list[Any]] = {}
    try:
        text = journal.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    for line in text.splitlines():
        try:
            name, version = json.loads(line)
        except (ValueError, TypeError):
            continue
        if isinstance(name, str) and isinstance(version, list):
            versions[name] = version
    return versions


def _rewrite(journal: Path, versions: dict[str, list[Any]]) -> None:
    fresh = journal.with_suffix(".new")
    fresh.write_text("".join(_line(name, version) for name, version in versions.items()), encoding="utf-8")
    fresh.replace(journal)


def _remove_others(root: Path, names: set[str]) -> int:
    """Delete files without an object, and then folders without a file; links are deleted, never followed."""
    removed = 0
    for folder, folders, files in os.walk(root, topdown=False):
        parent = Path(folder)
        for name in files:
            if (parent / name).relative_to(root).as_posix() not in names or (parent / name).is_symlink():
                (parent / name).unlink()
                removed += 1
        for name in folders:
            inner = parent / name
            if inner.is_symlink():
                inner.unlink()
                removed += 1
            elif not any(inner.iterdir()):
                inner.rmdir()
    return removed


def _check_room(folder: Folder, missing: Sequence[StoredObject]) -> None:
    need, free = sum(o.size for o in missing), shutil.disk_usage(folder.place).free
    if need + _SPARE > free:
        raise errors.SynaugError(
            f"{folder.place}: {need / 1e9:.1f} GB are to be fetched and {free / 1e9:.1f} GB are free; make room, or "
            "set SYNAUG_HOME to a larger disk"
        )


@dataclass(frozen=True)
class Mirror:
    """A local copy of what an address holds.

    Attributes:
        path: a folder with a file for each object, or the one file that the address names.
        fingerprint: digest of the listing it was made from.
        refused: objects that have no file, and why.
        objects: files in it.
        fetched, removed: files that were written and deleted to bring it up to date.
    """

    path: Path
    fingerprint: str
    refused: tuple[RefusedObject, ...]
    objects: int
    fetched: int
    removed: int


def bucket_fingerprint(source: str, current: settings.Settings) -> str:
    """Digest of the names, sizes and ETags of the objects at `source` (`s3://...`); none of them is read.

    Raises:
        UserError: no credentials, no access, nobody answers, no such bucket, no objects.
        SynaugError: the server fails.
    """
    address = s3_address(source)
    with explaining(address, current):
        return _fingerprint(listed(s3_client(current), address))


@contextlib.contextmanager
def mirrored(source: str, current: settings.Settings, progress: Progress = silent) -> Iterator[Mirror]:
    """Bring the mirror of `source` (`s3://...`) below `<home>/mirrors` up to date, and keep other processes from
    changing it while the block reads it.

    Each file is written whole and verified, or not at all; an interrupted download goes on with the objects that are
    missing. Objects are told apart by ETag and size (by time where there is no ETag), local files by size and time.

    Args:
        source: the address of a prefix, or of one .npz or .parquet object.
        current: where the mirror and the server are.
        progress: told the objects fetched and to be fetched; called from several threads, one at a time.

    Raises:
        UserError: as `bucket_fingerprint`, or an object changed meanwhile.
        ArtifactError: an object's bytes were wrong, several times.
        SynaugError: the server or the disk fails.
    """
    address = s3_address(source)
    place = current.home / places.MIRRORS / digests.of_value([current.s3_endpoint, address.bucket, address.key])[:32]
    with locks.exclusive(places.mirror_lock(place), _LONGEST_TURN):
        yield _brought_up_to_date(address, place, current, progress)


def _brought_up_to_date(address: S3Address, place: Path, current: settings.Settings, progress: Progress) -> Mirror:
    with explaining(address, current), _on_disk(address):
        client = s3_client(current)
        objects = listed(client, address)
        good, refused = sorted_out(objects)
        one = len(objects) == 1 and objects[0].key == address.key
        files = place / "file" if one else place / "files" / _local(address.name)
        fetched, removed = update(Folder(place, files), client, address, good, progress)
    return Mirror(
        path=files / good[0].name if one and good else files,
        fingerprint=_fingerprint(objects),
        refused=refused,
        objects=len(good),
        fetched=fetched,
        removed=removed,
    )


@contextlib.contextmanager
def _on_disk(address: S3Address) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.SynaugError(f"{address} cannot be copied to the disk ({error.strerror or error})") from error


def _local(name: str) -> str:
    """The folder's name: it is shown with the images, so it is kept where it can be."""
    return slug(name) if why_not_a_path(name) or name.startswith(".") else name


def _fingerprint(objects: Sequence[StoredObject]) -> str:
    return digests.of_value([[_plain(o.name), o.size, o.etag or o.modified] for o in objects])


def _plain(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
