"""Results of steps in S3, where workers on several machines find each other's: a Prefect block that needs no more
than boto3."""

from __future__ import annotations

from typing import Any, cast

from prefect.filesystems import WritableFileSystem
from prefect.utilities.asyncutils import run_sync_in_worker_thread
from pydantic import Field

__all__ = ["S3Results", "save_result_storage"]

_NAME = "results"


class S3Results(WritableFileSystem):
    """JSON results as objects below an S3 address. The endpoint and the credentials are each machine's own: neither
    is stored in the block."""

    _block_type_name = "synaug results in S3"
    _block_type_slug = "synaug-s3"

    address: str = Field(description="Where the results go: s3://bucket/prefix")

    def _resolve_path(self, path: str) -> str:
        from synaug_core.services.s3_objects import object_uri

        return object_uri(self.address, self._name(path))

    def _name(self, path: str) -> str:
        """Prefect gives a name, or what `_resolve_path` made of it."""
        from synaug_core.services.s3_objects import object_uri

        whole = object_uri(self.address, "x").removesuffix("x")
        return path.removeprefix(whole)

    # Prefect calls the blocking form from its threads, and says so by `_sync`.
    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]  # the base declares async
        """The bytes of a result.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        from synaug_core.services.s3_objects import read_object
        from synaug_core.services.settings import settings

        return read_object(self.address, self._name(path), settings())

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> str:  # type: ignore[override]  # as above
        """Write a result whole, and give its address."""
        from synaug_core.services.s3_objects import write_object
        from synaug_core.services.settings import settings

        return write_object(self.address, self._name(path), content, settings())

    async def aread_path(self, path: str) -> bytes:
        """`read_path` for Prefect's asynchronous callers."""
        return await run_sync_in_worker_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """`write_path` for Prefect's asynchronous callers."""
        return await run_sync_in_worker_thread(self.write_path, path, content)


def save_result_storage(address: str) -> str:
    """Tell the Prefect server of the storage, again where the address is another.

    Returns:
        What `PREFECT_DEFAULT_RESULT_STORAGE_BLOCK` is to be set to.

    Raises:
        ValueError: it is no s3:// address.
    """
    from synaug_core.s3_address import s3_address

    block = S3Results(address=str(s3_address(address)))
    cast(Any, block).save(_NAME, overwrite=True, _sync=True)
    return f"{S3Results._block_type_slug}/{_NAME}"
