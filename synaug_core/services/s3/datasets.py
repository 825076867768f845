"""Data sets in S3: a fingerprint without reading them, and a local mirror that is read as any folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synaug_core import digests
from synaug_core.errors import SynaugError
from synaug_core.names import slug
from synaug_core.progress import Progress, silent
from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services.locks import exclusive
from synaug_core.services.s3.client import StoredObject, explaining, listed, s3_client
from synaug_core.services.s3.mirror import Folder, update
from synaug_core.services.s3.names import Refused, sorted_out, why_not_a_path
from synaug_core.services.settings import Settings

__all__ = ["Mirror", "Refused", "bucket_fingerprint", "mirrored"]

_LONGEST_TURN = 12 * 3600.0  # seconds that another process may take with the same mirror


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
    refused: tuple[Refused, ...]
    objects: int
    fetched: int
    removed: int


def bucket_fingerprint(source: str, current: Settings) -> str:
    """Digest of the names, sizes and ETags of the objects at `source` (`s3://...`); none of them is read.

    Raises:
        UserError: no credentials, no access, nobody answers, no such bucket, no objects.
        SynaugError: the server fails.
    """
    address = s3_address(source)
    with explaining(address, current):
        return _fingerprint(listed(s3_client(current), address))


@contextlib.contextmanager
def mirrored(source: str, current: Settings, progress: Progress = silent) -> Iterator[Mirror]:
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
    place = current.home / "mirrors" / digests.of_value([current.s3_endpoint, address.bucket, address.key])[:32]
    with exclusive(current.home / "locks" / f"mirror-{place.name}.lock", _LONGEST_TURN):
        yield _brought_up_to_date(address, place, current, progress)


def _brought_up_to_date(address: S3Address, place: Path, current: Settings, progress: Progress) -> Mirror:
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
        raise SynaugError(f"{address} cannot be copied to the disk ({error.strerror or error})") from error


def _local(name: str) -> str:
    """The folder's name: it is shown with the images, so it is kept where it can be."""
    return slug(name) if why_not_a_path(name) or name.startswith(".") else name


def _fingerprint(objects: Sequence[StoredObject]) -> str:
    return digests.of_value([[_plain(o.name), o.size, o.etag or o.modified] for o in objects])


def _plain(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
