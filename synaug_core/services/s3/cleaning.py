"""The names of small objects below an address, and their deletion."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from synaug_core.s3_address import s3_address
from synaug_core.services.s3.client import THREADS, explaining, objects_at, s3_client
from synaug_core.services.s3.objects import object_uri
from synaug_core.services.settings import Settings

__all__ = ["delete_objects", "object_names"]


def object_names(place: str, current: Settings) -> list[str]:
    """The objects below `place` (`s3://...`), without its own key; none where there is no object. Raises as
    `explaining`."""
    address = s3_address(place)
    with explaining(address, current):
        return [stored.name for stored in objects_at(s3_client(current), address)]


def delete_objects(place: str, names: Iterable[str], current: Settings) -> None:
    """Delete these objects; one that is gone already is no error. Raises as `explaining`."""
    address, client = s3_address(place), s3_client(current)
    keys = [object_uri(place, name).removeprefix(f"s3://{address.bucket}/") for name in names]
    with explaining(address, current), ThreadPoolExecutor(THREADS) as pool:
        # One request each: servers differ in which checksum they want for a list of objects.
        for _ in pool.map(lambda key: client.delete_object(Bucket=address.bucket, Key=key), keys):
            pass
