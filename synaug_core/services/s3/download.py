"""One object into one file: whole, verified by the checksums that S3 servers give, or not at all."""

import base64
import functools
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from synaug_core import errors, s3_address
from synaug_core.services.retry import repeatedly
from synaug_core.services.s3.client import StoredObject

__all__ = ["CHECKSUMS", "LARGE", "broken", "download", "is_of_parts", "likely_parts", "md5"]

LARGE = 16 * 2**20
"""Bytes from which an object is fetched in parts, several at once."""
_TRIES = 4
_BLOCK = 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]{1,5})")
_MIB = 2**20
_PART_SIZES = tuple(n * _MIB for n in (8, 5, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024))
"""What clients usually cut objects into (boto3, MLflow: 8 and 10 MiB)."""
_md5 = functools.partial(hashlib.md5, usedforsecurity=False)


class _DamagedError(Exception):
    """The bytes that came are not the object's."""


def download(client: Any, address: s3_address.S3Address, stored: StoredObject, target: Path) -> None:
    """Write the object's bytes to `target`, verified by size and by the best checksum that the server gives: the MD5
    in its ETag (also of an upload in parts), or the checksum of the whole object. Broken connections and wrong bytes
    are tried again, three times.

    Raises:
        ArtifactError: the bytes were wrong each time.
        DataError: the object changed since it was listed.
        Exception: botocore's errors, for `explaining`; OSError of the disk.
    """
    fetch = _fetch_parts if stored.size >= LARGE else _fetch_whole

    def fetch_verified() -> None:
        try:
            fetch(client, address, stored, target)
            _verify(client, address, stored, target)
        except broken():
            target.unlink(missing_ok=True)
            raise

    try:
        repeatedly(fetch_verified, broken(), _TRIES)
    except _DamagedError as error:
        raise errors.ArtifactError(
            f"{address}: the object {stored.name!r} came with wrong bytes {_TRIES} times ({error})"
        ) from error


def broken() -> tuple[type[Exception], ...]:
    """Errors after which the same request may well succeed: those in the midst of a body, which botocore does not
    repeat."""
    from boto3.exceptions import RetriesExceededError
    from botocore import exceptions as e

    return (
        _DamagedError, e.IncompleteReadError, e.ResponseStreamingError, e.ReadTimeoutError, e.ConnectionClosedError,
        e.FlexibleChecksumError, RetriesExceededError,
    )  # fmt: skip


def _fetch_whole(client: Any, address: s3_address.S3Address, stored: StoredObject, target: Path) -> None:
    version = {"IfMatch": stored.etag} if stored.etag else {}
    body = client.get_object(Bucket=address.bucket, Key=stored.key, **version)["Body"]
    with body, target.open("wb") as file:
        for block in body.iter_chunks(_BLOCK):
            file.write(block)


def _fetch_parts(client: Any, address: s3_address.S3Address, stored: StoredObject, target: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=LARGE, multipart_chunksize=LARGE // 2, max_concurrency=8)
    client.download_file(address.bucket, stored.key, str(target), Config=config)


def _verify(client: Any, address: s3_address.S3Address, stored: StoredObject, target: Path) -> None:
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


def _verify_by_what_the_server_says(
    client: Any, address: s3_address.S3Address, stored: StoredObject, target: Path
) -> None:
    """The ETag did not settle it: it is no MD5 (encryption by a key of the user), or its parts' sizes are unusual."""
    head = _check_unchanged(client, address, stored)
    for name, compute in CHECKSUMS.items():
        if (
            (checksum := head.get(name))
            and head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
            and "-" not in checksum
        ):
            if compute(target) != checksum:
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


def _check_unchanged(client: Any, address: s3_address.S3Address, stored: StoredObject) -> dict[str, Any]:
    head: dict[str, Any] = client.head_object(Bucket=address.bucket, Key=stored.key, ChecksumMode="ENABLED")
    if head["ContentLength"] != stored.size or (stored.etag and head.get("ETag") != stored.etag):
        raise errors.DataError(f"{address}: the object {stored.name!r} changed while it was read; start the run again")
    return head


def _part_sizes(client: Any, address: s3_address.S3Address, stored: StoredObject, parts: int) -> list[int]:
    """The sizes of the parts that the object was uploaded in; empty where the server does not tell."""
    sizes: list[int] = []
    for number in range(1, parts + 1):
        head = client.head_object(Bucket=address.bucket, Key=stored.key, PartNumber=number)
        if head.get("PartsCount") != parts:
            return []
        sizes.append(head["ContentLength"])
    return sizes if sum(sizes) == stored.size else []


def md5(path: Path) -> str:
    """In hex: the ETag of an object that was written in one piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def likely_parts(size: int, parts: int) -> Iterator[list[int]]:
    """Ways to cut `size` bytes into `parts` parts of a usual size, the last one being what is left."""
    if parts == 1:
        yield [size]
    for part_size in _PART_SIZES:
        if parts > 1 and part_size * (parts - 1) < size <= part_size * parts:
            yield [part_size] * (parts - 1) + [size - part_size * (parts - 1)]


def is_of_parts(path: Path, expected: str, cuts: Iterable[list[int]]) -> bool:
    """Whether the MD5 of the MD5s of the file's parts, cut one of these ways, is `expected`."""
    return any(_md5_of_parts(path, sizes) == expected for sizes in cuts)


def _md5_of_parts(path: Path, sizes: list[int]) -> str:
    total = _md5()
    with path.open("rb") as file:
        for size in sizes:
            part, left = _md5(), size
            while left and (block := file.read(min(left, _BLOCK))):
                part.update(block)
                left -= len(block)
            total.update(part.digest())
    return total.hexdigest()


def _whole(path: Path, name: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, functools.partial(hashlib.new, name, usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _crc32(path: Path) -> str:
    total = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total = zlib.crc32(block, total)
    return base64.b64encode(total.to_bytes(4, "big")).decode()


CHECKSUMS: dict[str, Callable[[Path], str]] = {
    "ChecksumSHA256": functools.partial(_whole, name="sha256"),
    "ChecksumSHA1": functools.partial(_whole, name="sha1"),
    "ChecksumCRC32": _crc32,
}


"""Names as in S3's answers -> base64 of a file's checksum."""
