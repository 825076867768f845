"""`s3://bucket/prefix`: the address of objects, checked before anybody is asked for them."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from synaug_core.data.sources import FILE_SUFFIXES

__all__ = ["S3Address", "s3_address"]

_SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_KEY = 1024  # bytes; the S3 API takes no more


@dataclass(frozen=True)
class S3Address:
    """A bucket, and the beginning of the keys in it (or the one key) without slashes around it; "" is all of it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}" if self.key else f"{_SCHEME}{self.bucket}"

    @property
    def name(self) -> str:
        """What the place is called: the last part of the key, or the bucket."""
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def is_file(self) -> bool:
        """Whether it names one object that holds all images, by its ending."""
        return bool(self.key) and PurePosixPath(self.key).suffix.lower() in FILE_SUFFIXES


def s3_address(text: str) -> S3Address:
    """The address that `text` is.

    Raises:
        ValueError: it is none; the text says what is wrong with it, and never repeats a secret.
    """
    if not text.startswith(_SCHEME):
        raise ValueError("an address of objects begins with s3://")
    bucket, _, key = text.removeprefix(_SCHEME).partition("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError(
            "credentials have no place in an s3:// address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        )
    if "?" in text or "#" in text:
        raise ValueError("an s3:// address has no ? and no #; give s3://bucket/prefix")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} is no name of a bucket; give s3://bucket/prefix")
    key = key.strip("/")
    if _CONTROL.search(key) or len(key.encode("utf-8", "surrogateescape")) > _LONGEST_KEY:
        raise ValueError("the prefix has control characters or is longer than 1024 bytes")
    if key and any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"the prefix {key!r} has an empty part, . or .. in it")
    return S3Address(bucket, key)
