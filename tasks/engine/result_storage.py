"""Prefect's server, and the results of steps that it stores: in S3 too, and read as files: which runs each names."""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from prefect.client.orchestration import get_client
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.results import get_default_result_storage
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_sync_in_worker_thread
from pydantic import Field

from synaug_core import errors
from synaug_core.s3_address import s3_address
from synaug_core.services.s3 import objects
from synaug_core.services.settings import settings

__all__ = [
    "S3Results",
    "StoredResult",
    "delete_results",
    "read_results",
    "results_naming",
    "runs_named_together",
    "save_result_storage",
    "server_version",
]

_BLOCK_NAME = "results"
_REFUSED = (401, 403)


class S3Results(WritableFileSystem):
    """JSON results as objects below an S3 address. The endpoint and the credentials are each machine's own: neither
    is stored in the block."""

    _block_type_name = "synaug results in S3"
    _block_type_slug = "synaug-s3"

    address: str = Field(description="Where the results go: s3://bucket/prefix")

    def _resolve_path(self, path: str) -> str:
        return objects.object_uri(self.address, self._name(path))

    def _name(self, path: str) -> str:
        """Prefect gives a name, or what `_resolve_path` made of it."""
        whole = objects.object_uri(self.address, "x").removesuffix("x")
        return path.removeprefix(whole)

    # Prefect calls the blocking form from its threads, and says so by `_sync`.
    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]  # the base declares async
        """The bytes of a result.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        return objects.read_object(self.address, self._name(path), settings())

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> str:  # type: ignore[override]  # as above
        """Write a result whole, and give its address."""
        return objects.write_object(self.address, self._name(path), content, settings())

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
    block = S3Results(address=str(s3_address(address)))
    cast(Any, block).save(_BLOCK_NAME, overwrite=True, _sync=True)
    return f"{S3Results._block_type_slug}/{_BLOCK_NAME}"


def server_version() -> str:
    """The version of the server at PREFECT_API_URL.

    Raises:
        UserError: nobody answers there, or the server refuses these credentials.
    """
    with get_client(sync_client=True) as client:
        try:
            answer = client.request("GET", "/admin/version")  # what api_version asks, which would hide the status
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            if error.response.status_code in _REFUSED:
                raise errors.UserError(
                    "the server refuses these credentials", reason=errors.Reason.NO_ACCESS
                ) from error
            raise errors.UserError(f"the server answers {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise errors.UserError(f"no Prefect server answers ({type(error).__name__})") from error
        return str(answer.json())


_FILE_NAME = re.compile(r"([0-9a-f]{64})(?:-(\d+))?")
_AT_ONCE = 16


@dataclass(frozen=True)
class StoredResult:
    """A stored result of a step.

    Attributes:
        name: of its file or object.
        key: of the step; a result that was made again has the same key and a number behind it.
        number: 1 for the first.
        owner: the run that the result is about; "" where it is about none.
        runs: every run that it speaks of.
        size: bytes.
    """

    name: str
    key: str
    number: int
    owner: str
    runs: frozenset[str]
    size: int


def read_results() -> list[StoredResult]:
    """Every result of a step in the storage that this process uses; none where that is neither a folder nor ours."""
    place = _storage()
    names = [name for name in _file_names(place) if _FILE_NAME.fullmatch(name)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(lambda name: _read(place, name), names)
        return [result for result in results if result is not None]


def runs_named_together(results: Iterable[StoredResult]) -> dict[str, frozenset[str]]:
    """Run -> the other runs in which the results about it lie."""
    runs_of: dict[str, frozenset[str]] = {}
    for result in results:
        if result.owner:
            runs_of[result.owner] = runs_of.get(result.owner, frozenset()) | (result.runs - {result.owner})
    return runs_of


def results_naming(results: Iterable[StoredResult], runs: Collection[str]) -> list[StoredResult]:
    """The results that speak of one of the runs.

    A step looks for its result by counting up until none is there. So one with a lower number stays where a later one
    is kept: it counts as nothing, because its artifacts are gone.
    """
    ordered, run_ids = list(results), set(runs)
    naming = [result for result in ordered if result.runs & run_ids]
    names = {result.name for result in naming}
    highest: dict[str, int] = {}
    for result in ordered:
        if result.name not in names:
            highest[result.key] = max(highest.get(result.key, 0), result.number)
    return [result for result in naming if result.number > highest.get(result.key, 0)]


def delete_results(results: Iterable[StoredResult]) -> None:
    """Delete them, the highest numbers of a step first; one that is gone already is no error."""
    place, ordered = _storage(), sorted(results, key=lambda result: -result.number)
    if isinstance(place, Path):
        for result in ordered:
            (place / result.name).unlink(missing_ok=True)
    elif isinstance(place, S3Results):
        # one call for each number: within a call objects go in any order
        for _, equal in itertools.groupby(ordered, key=lambda result: result.number):
            objects.delete_objects(place.address, [result.name for result in equal], settings())


def _storage() -> Path | S3Results | None:
    configured = get_current_settings().results
    if configured.default_storage_block is None and settings().prefect_api_url is None:
        return configured.local_storage_path  # a server started for the question would answer the same
    storage: Any = get_default_result_storage()
    if isinstance(storage, LocalFileSystem) and storage.basepath:
        return Path(storage.basepath).expanduser()
    return storage if isinstance(storage, S3Results) else None


def _file_names(place: Path | S3Results | None) -> list[str]:
    if isinstance(place, Path):
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    if isinstance(place, S3Results):
        return objects.object_names(place.address, settings())
    return []


def _read(place: Path | S3Results | None, name: str) -> StoredResult | None:
    """The result, or None: deleted meanwhile, or written by somebody else's rules."""
    matched = _FILE_NAME.fullmatch(name)
    try:
        if isinstance(place, Path):
            content = (place / name).read_bytes()
        elif isinstance(place, S3Results):
            content = place.read_path(name)
        else:
            return None
        value = json.loads(json.loads(content)["result"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if matched is None:
        return None
    runs = frozenset(_run_ids(value))
    data = value.get("data") if isinstance(value, dict) else None
    owner = data.get("run_id") if isinstance(data, dict) else None
    number = int(matched.group(2) or 1)
    return StoredResult(name, matched.group(1), number, owner if isinstance(owner, str) else "", runs, len(content))


def _run_ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "run_id" and isinstance(inner, str):
                yield inner
            else:
                yield from _run_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _run_ids(inner)
