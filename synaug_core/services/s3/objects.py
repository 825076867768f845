"""Small objects by name below an address: written whole, read whole."""

from __future__ import annotations

import functools
from typing import Any

from synaug_core.digests import of_bytes
from synaug_core.errors import ArtifactError
from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services.mlflow.clients import patiently
from synaug_core.services.retry import pause
from synaug_core.services.s3.client import explaining, s3_client
from synaug_core.services.s3.download import broken
from synaug_core.services.s3.names import why_not_a_path
from synaug_core.services.settings import Settings

__all__ = ["object_uri", "read_object", "write_object"]

_DIGEST = "sha256"
_TRIES = 4

_client = functools.lru_cache(maxsize=4)(s3_client)


def object_uri(place: str, name: str) -> str:
    """The address of the object `name` below `place`.

    Raises:
        ValueError: the place is no s3:// address, or the name would leave it.
    """
    address = s3_address(place)
    if reason := why_not_a_path(name):
        raise ValueError(f"{name!r} cannot be an object below {address}: {reason}")
    return f"s3://{address.bucket}/{_key(address, name)}"


def read_object(place: str, name: str, current: Settings) -> bytes:
    """The object's bytes, compared with the digest that they were written with; asked for again where a connection
    broke or other bytes came.

    Raises:
        FileNotFoundError: there is no such object.
        ArtifactError: other bytes came each time. Others as `explaining`.
    """
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        for attempt in range(_TRIES):
            pause(0.3 * attempt)
            try:
                content, expected = _read(_client(current), address, name)
            except broken():
                if attempt + 1 == _TRIES:
                    raise
                continue
            if expected is None:
                break
            if of_bytes(content) == expected:
                return content
        else:
            raise ArtifactError(f"{uri} has other bytes than were written")
    raise FileNotFoundError(f"there is no object {uri}")


def _read(client: Any, address: S3Address, name: str) -> tuple[bytes, str | None]:
    """The bytes that came and the digest of those that were written; no digest: there is no such object."""
    try:
        answer = patiently(client.get_object, Bucket=address.bucket, Key=_key(address, name))
    except client.exceptions.NoSuchKey:
        return b"", None
    content = bytes(answer["Body"].read())
    return content, answer.get("Metadata", {}).get(_DIGEST, of_bytes(content))


def write_object(place: str, name: str, content: bytes, current: Settings) -> str:
    """Write the object, and give its address. Raises as `explaining`."""
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        patiently(
            _client(current).put_object,
            Bucket=address.bucket,
            Key=_key(address, name),
            Body=content,
            Metadata={_DIGEST: of_bytes(content)},  # checksums of their own are not given by every server
        )
    return uri


def _key(address: S3Address, name: str) -> str:
    return f"{address.key}/{name}" if address.key else name
