"""Small objects by name below an address: written whole, read whole, named, deleted."""

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from synaug_core import digests, errors
from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services import retry, settings
from synaug_core.services.s3.client import THREADS, explaining, objects_at, s3_client
from synaug_core.services.s3.download import broken
from synaug_core.services.s3.names import why_not_a_path

__all__ = ["delete_objects", "object_names", "object_uri", "read_object", "write_object"]

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


def read_object(place: str, name: str, current: settings.Settings) -> bytes:
    """The object's bytes, compared with the digest that they were written with; asked for again where a connection
    broke or other bytes came.

    Raises:
        FileNotFoundError: there is no such object.
        ArtifactError: other bytes came each time. Others as `explaining`.
    """
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        content = retry.repeatedly(
            lambda: _read(_client(current), address, name), (*broken(), errors.ArtifactError), _TRIES
        )
    if content is None:
        raise FileNotFoundError(f"there is no object {uri}")
    return content


def _read(client: Any, address: S3Address, name: str) -> bytes | None:
    """The object's bytes; None where there is no such object. ArtifactError: its digest is another's."""
    try:
        answer = retry.patiently(client.get_object, Bucket=address.bucket, Key=_key(address, name))
    except client.exceptions.NoSuchKey:
        return None
    content = bytes(answer["Body"].read())
    if digests.of_bytes(content) != answer.get("Metadata", {}).get(_DIGEST, digests.of_bytes(content)):
        raise errors.ArtifactError(
            f"s3://{address.bucket}/{_key(address, name)} is damaged: its checksum is not the recorded one"
        )
    return content


def write_object(place: str, name: str, content: bytes, current: settings.Settings) -> str:
    """Write the object, and give its address. Raises as `explaining`."""
    uri, address = object_uri(place, name), s3_address(place)
    with explaining(address, current):
        retry.patiently(
            _client(current).put_object,
            Bucket=address.bucket,
            Key=_key(address, name),
            Body=content,
            Metadata={_DIGEST: digests.of_bytes(content)},  # checksums of their own are not given by every server
        )
    return uri


def _key(address: S3Address, name: str) -> str:
    return f"{address.key}/{name}" if address.key else name


def object_names(place: str, current: settings.Settings) -> list[str]:
    """The objects below `place` (`s3://...`), without its own key; none where there is no object. Raises as
    `explaining`."""
    address = s3_address(place)
    with explaining(address, current):
        return [stored.name for stored in objects_at(s3_client(current), address)]


def delete_objects(place: str, names: Iterable[str], current: settings.Settings) -> None:
    """Delete these objects; one that is gone already is no error. Raises as `explaining`."""
    address, client = s3_address(place), s3_client(current)
    keys = [object_uri(place, name).removeprefix(f"s3://{address.bucket}/") for name in names]
    with explaining(address, current), ThreadPoolExecutor(THREADS) as pool:
        # One request each: servers differ in which checksum they want for a list of objects.
        for _ in pool.map(lambda key: client.delete_object(Bucket=address.bucket, Key=key), keys):
            pass
