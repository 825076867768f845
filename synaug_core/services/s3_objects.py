"""Small objects by name below an address: written whole, read whole."""

from __future__ import annotations

import functools
from typing import Any

from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services.s3 import explaining, s3_client
from synaug_core.services.s3_names import why_not_a_path
from synaug_core.services.settings import Settings

__all__ = ["object_uri", "read_object", "write_object"]

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
    """The object's bytes; boto3 compares them with the checksum that they were written with.

    Raises:
        FileNotFoundError: there is no such object. Others as `explaining`.
    """
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        client: Any = _client(current)
        try:
            return bytes(client.get_object(Bucket=address.bucket, Key=_key(address, name))["Body"].read())
        except client.exceptions.NoSuchKey:
            pass
    raise FileNotFoundError(f"there is no object {uri}")


def write_object(place: str, name: str, content: bytes, current: Settings) -> str:
    """Write the object, and give its address. Raises as `explaining`."""
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        _client(current).put_object(Bucket=address.bucket, Key=_key(address, name), Body=content)
    return uri


def _key(address: S3Address, name: str) -> str:
    return f"{address.key}/{name}" if address.key else name
