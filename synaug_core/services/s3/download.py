"""One object into one file: whole, verified, or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from synaug_core.errors import ArtifactError, DataError
from synaug_core.s3_address import S3Address
from synaug_core.services.retry import pause
from synaug_core.services.s3.checksums import CHECKSUMS, is_of_parts, likely_parts, md5
from synaug_core.services.s3.client import StoredObject

__all__ = ["LARGE", "broken", "download"]

LARGE = 16 * 2**20
"""Bytes from which an object is fetched in parts, several at once."""

_TRIES = 4
_BLOCK = 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]{1,5})")


class _DamagedError(Exception):
    """The bytes that came are not the object's."""


def download(client: Any, address: S3Address, stored: StoredObject, target: Path) -> None:
    """Write the object's bytes to `target`, verified by size and by the best checksum that the server gives: the MD5
    in its ETag (also of an upload in parts), or the checksum of the whole object. Broken connections and wrong bytes
    are tried again, three times.

    Raises:
        ArtifactError: the bytes were wrong each time.
        DataError: the object changed since it was listed.
        Exception: botocore's errors, for `explaining`; OSError of the disk.
    """
    fetch = _in_parts if stored.size >= LARGE else _at_once
    for attempt in range(_TRIES):
        try:
            fetch(client, address, stored, target)
            _verify(client, address, stored, target)
            return
        except broken() as error:
            target.unlink(missing_ok=True)
            if attempt + 1 == _TRIES:
                if isinstance(error, _DamagedError):
                    raise ArtifactError(
                        f"{address}: the object {stored.name!r} came with wrong bytes {_TRIES} times ({error})"
                    ) from error
                raise
        pause(0.3 * 3**attempt)


def broken() -> tuple[type[Exception], ...]:
    """Errors after which the same request may well succeed: those in the midst of a body, which botocore does not
    repeat."""
    from boto3.exceptions import RetriesExceededError
    from botocore import exceptions as e

    return (
        _DamagedError, e.IncompleteReadError, e.ResponseStreamingError, e.ReadTimeoutError, e.ConnectionClosedError,
        e.FlexibleChecksumError, RetriesExceededError,
    )  # fmt: skip


def _at_once(client: Any, address: S3Address, stored: StoredObject, target: Path) -> None:
    version = {"IfMatch": stored.etag} if stored.etag else {}
    body = client.get_object(Bucket=address.bucket, Key=stored.key, **version)["Body"]
    with body, target.open("wb") as file:
        for block in body.iter_chunks(_BLOCK):
            file.write(block)


def _in_parts(client: Any, address: S3Address, stored: StoredObject, target: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=LARGE, multipart_chunksize=LARGE // 2, max_concurrency=8)
    client.download_file(address.bucket, stored.key, str(target), Config=config)


def _verify(client: Any, address: S3Address, stored: StoredObject, target: Path) -> None:
    """Raises `_DamagedError` where the file is not the object, DataError where the object is no longer the listed."""
    if (size := target.stat().st_size) != stored.size:
        _check_unchanged(client, address, stored)
        raise _DamagedError(f"{size} bytes instead of {stored.size}")
    etag = stored.etag.strip('"').lower()
    if _MD5.fullmatch(etag):
        if md5(target) == etag:
            return
    elif (parts := _MD5_OF_PARTS.fullmatch(etag)) and is_of_parts(target, parts[1], likely_parts(size, int(parts[2]))):
        return
    _verify_by_what_the_server_says(client, address, stored, target)


def _verify_by_what_the_server_says(client: Any, address: S3Address, stored: StoredObject, target: Path) -> None:
    """The ETag did not settle it: it is no MD5 (encryption by a key of the user), or its parts' sizes are unusual."""
    head = _check_unchanged(client, address, stored)
    for name, of_file in CHECKSUMS.items():
        if (told := head.get(name)) and head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in told:
            if of_file(target) != told:
                raise _DamagedError(f"the server's {name.removeprefix('Checksum')} is another")
            return
    if head.get("SSECustomerAlgorithm") or "kms" in str(head.get("ServerSideEncryption", "")):
        return  # nothing to compare with but the size
    etag = stored.etag.strip('"').lower()
    if _MD5.fullmatch(etag):
        raise _DamagedError("the MD5 in its ETag is another")
    if parts := _MD5_OF_PARTS.fullmatch(etag):
        sizes = _part_sizes(client, address, stored, int(parts[2]))
        if sizes and not is_of_parts(target, parts[1], [sizes]):
            raise _DamagedError("the MD5 of its parts' MD5s in its ETag is another")


def _check_unchanged(client: Any, address: S3Address, stored: StoredObject) -> dict[str, Any]:
    head: dict[str, Any] = client.head_object(Bucket=address.bucket, Key=stored.key, ChecksumMode="ENABLED")
    if head["ContentLength"] != stored.size or (stored.etag and head.get("ETag") != stored.etag):
        raise DataError(f"{address}: the object {stored.name!r} changed while it was read; start the run again")
    return head


def _part_sizes(client: Any, address: S3Address, stored: StoredObject, parts: int) -> list[int]:
    """The sizes of the parts that the object was uploaded in; empty where the server does not tell."""
    sizes: list[int] = []
    for number in range(1, parts + 1):
        head = client.head_object(Bucket=address.bucket, Key=stored.key, PartNumber=number)
        if head.get("PartsCount") != parts:
            return []
        sizes.append(head["ContentLength"])
    return sizes if sum(sizes) == stored.size else []
