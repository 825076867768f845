"""Checksums of files as S3 servers tell them: MD5s in ETags, also of uploads in parts, and of whole objects."""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["CHECKSUMS", "is_of_parts", "likely_parts", "md5"]

_BLOCK = 2**20
_MIB = 2**20
_PART_SIZES = tuple(n * _MIB for n in (8, 5, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024))
"""What clients usually cut objects into (boto3, MLflow: 8 and 10 MiB)."""

_md5 = functools.partial(hashlib.md5, usedforsecurity=False)


def md5(path: Path) -> str:
    """In hex: the ETag of an object that was written in one piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def likely_parts(size: int, parts: int) -> Iterator[list[int]]:
    """Ways to cut `size` bytes into `parts` parts of a usual size, the last one being what is left."""
    if parts == 1:
        yield [size]
    for each in _PART_SIZES:
        if parts > 1 and each * (parts - 1) < size <= each * parts:
            yield [each] * (parts - 1) + [size - each * (parts - 1)]


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
