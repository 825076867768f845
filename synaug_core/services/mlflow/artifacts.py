"""Files and folders into a run's artifacts and back, known by the digest of their bytes.

Works on every store that MLflow reaches: local folders, a tracking server's proxy, S3.
"""

import os
import posixpath
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from synaug_core import digests, errors, refs
from synaug_core.s3_address import S3Address, s3_address
from synaug_core.services import processes, retry, secrets
from synaug_core.services.mlflow.clients import client_of
from synaug_core.services.s3.client import explaining
from synaug_core.services.settings import Settings, settings

__all__ = [
    "PART",
    "digest",
    "exists",
    "explaining_place",
    "fetch",
    "fetch_uri",
    "in_s3",
    "is_there",
    "local_path",
    "part_owner",
    "put_file",
    "put_folder",
    "repository",
    "storing",
]

Signature = tuple[tuple[str, int, int], ...]
PART = ".part-"
"""Begins the names of the cache's folders that are not whole yet."""
_roots: dict[str, str] = {}  # of runs' artifacts: where they are never changes
_verified: dict[tuple[str, str], Signature] = {}
_fetching: dict[str, threading.Lock] = {}
_TRIES = 3
_SPARE = 64 * 2**20  # bytes below which a disk is likely to be the reason


def put_file(run: refs.RunRef, local: Path, path: str) -> tuple[str, str]:
    """Store a file as `path` within the run's artifacts.

    Returns:
        Its URI and its SHA-256.

    Raises:
        UserError: the store is in S3, and its bucket or the way to it is not as it should be; one line says how.
    """
    inner, sha256, mlflow = _inner(path), digest(local), client_of(run)
    with _named(local, inner.name) as upload, storing(run) as root:
        retry.patiently(mlflow.log_artifact, run.run_id, str(upload), _folder(inner))
    return f"{root}/{inner}", sha256


def put_folder(run: refs.RunRef, local: Path, path: str) -> tuple[str, str]:
    """Store a folder's files below `path` within the run's artifacts.

    Returns:
        Its URI and the digest of its files' names and digests. What lay below `path` before must have had the same
        names, or the folder will not verify. Raises as `put_file`.
    """
    inner, sha256, mlflow = _inner(path), digest(local), client_of(run)
    with storing(run) as root:
        retry.patiently(mlflow.log_artifacts, run.run_id, str(local), str(inner))
    return f"{root}/{inner}", sha256


@contextmanager
def storing(run: refs.RunRef) -> Iterator[str]:
    """Around anything that writes artifacts of the run: where they lie in S3, what fails is said in one line. Gives
    the address that they lie below."""
    if (root := _roots.get(run.run_id)) is None:
        root = _roots[run.run_id] = str(retry.patiently(client_of(run).get_run, run.run_id).info.artifact_uri)
    with explaining_place(root, settings()):
        yield root.rstrip("/")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's files' names and digests (in hex)."""
    if path.is_dir():
        return digests.of_value({file.relative_to(path).as_posix(): digests.of_file(file) for file in _files(path)})
    return digests.of_file(path)


def exists(reference: refs.Reference) -> bool:
    """Whether the artifact is there; its bytes are not read. A server that cannot be asked raises its own error."""
    local = local_path(reference.uri)
    if local is not None:
        return local.is_dir() or local.is_file()
    current = settings()
    if _cached(current, reference).exists():
        return True
    with explaining_place(reference.uri, settings()):
        return _listed(reference.uri, current)


def fetch(reference: refs.Reference) -> Path:
    """A local path with the artifact's bytes, verified by their digest; not to be written to.

    A local store's own file is given as it is. Others are copied to `<home>/cache/<sha256>/` once, and asked for again
    where a connection broke or other bytes came; threads and processes may fetch the same at once.

    Raises:
        ArtifactError: the artifact is missing, cannot be read, or is damaged: its checksum is not the recorded one.
    """
    local = local_path(reference.uri)
    if local is not None:
        if not local.exists():
            raise errors.ArtifactError(f"missing artifact: {secrets.redacted(reference.uri)}")
        return _verify(local, reference)
    current = settings()
    cached = _cached(current, reference)
    with _fetching.setdefault(reference.sha256, threading.Lock()):
        if cached.exists():
            try:
                return _verify(cached, reference)
            except errors.ArtifactError:  # a damaged copy; the store has the original
                shutil.rmtree(cached.parent)

        def fill_cache() -> None:
            with _part(current) as part:
                fetched = _verify(_download(reference.uri, part, current), reference)
                _publish(part, cached.parent)
                # where another process was quicker, its files have times of their own, and are read once more
                _verified[str(cached), reference.sha256] = _verified.pop((str(fetched), reference.sha256))

        _require_listed(reference.uri, current)
        retry.repeatedly(fill_cache, (errors.ArtifactError,), _TRIES)
        return _verify(cached, reference)


def is_there(current: Settings, uri: str) -> bool:
    """Whether there is an artifact at `uri`.

    Raises:
        ArtifactError: its store cannot be asked.
        UserError: it is in S3, and the way to it is not as it should be.
    """
    local = local_path(uri)
    with _fetching_from(uri):
        return local.exists() if local is not None else _listed(uri, current)


def fetch_uri(current: Settings, uri: str, folder: Path) -> Path:
    """Copy the artifact at `uri`, whose digest nobody wrote down, into `folder`.

    Raises:
        ArtifactError: it is missing or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    local = local_path(uri)
    if local is None:
        _require_listed(uri, current)
        return retry.repeatedly(lambda: _download(uri, folder, current), (errors.ArtifactError,), _TRIES)
    if not local.exists():
        raise errors.ArtifactError(f"missing artifact: {secrets.redacted(uri)}")
    target = folder / local.name
    if local.is_dir():
        shutil.copytree(local, target, dirs_exist_ok=True)
    else:
        shutil.copy2(local, target)
    return target


def _inner(path: str) -> PurePosixPath:
    inner = PurePosixPath(path)
    if inner.is_absolute() or ".." in inner.parts or not inner.name:
        raise ValueError(f"an artifact's path must lie within the run: {path!r}")
    return inner


def _folder(inner: PurePosixPath) -> str | None:
    return None if str(inner.parent) == "." else str(inner.parent)


@contextmanager
def _named(local: Path, name: str) -> Iterator[Path]:
    """The file under another name, without copying it where the file system has links."""
    if local.name == name:
        yield local
        return
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        link = Path(folder) / name
        try:
            link.symlink_to(local.resolve())
        except OSError:
            shutil.copy2(local, link)
        yield link


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())


def local_path(uri: str) -> Path | None:
    """The path behind a local URI, or None."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path)) if os.name == "nt" else Path(unquote(parts.path))
    return Path(uri) if "://" not in uri and not uri.startswith("mlflow-artifacts:") else None


def _cached(current: Settings, reference: refs.Reference) -> Path:
    return current.cache / reference.sha256 / PurePosixPath(urlsplit(reference.uri).path).name


def part_owner(part: Path) -> str:
    """Who fetches into a folder of the cache whose name begins with `PART`, as `own_identity` has it."""
    return unquote(part.name.removeprefix(PART).rpartition(".")[0])


@contextmanager
def _part(current: Settings) -> Iterator[Path]:
    """A folder to fetch into, named by this process; what killed ones left half fetched goes."""
    for left in current.cache.glob(f"{PART}*"):
        if processes.is_dead(part_owner(left)):
            shutil.rmtree(left, ignore_errors=True)
    part = current.cache / f"{PART}{quote(processes.own_identity(), safe='')}.{uuid.uuid4().hex}"
    part.mkdir(parents=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, target: Path) -> None:
    """Give a whole folder its name at once; where another process was quicker, its equal one stays."""
    try:
        part.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        for item in part.iterdir():  # equal bytes under another name
            if not (target / item.name).exists():
                item.rename(target / item.name)


def _listed(uri: str, current: Settings) -> bool:
    parent, name = posixpath.split(uri.rstrip("/"))
    entries = retry.patiently(repository(parent, current).list_artifacts, "")
    return any(posixpath.basename(item.path.rstrip("/")) == name for item in entries)


def _require_listed(uri: str, current: Settings) -> None:
    if not is_there(current, uri):
        raise errors.ArtifactError(f"missing artifact: {secrets.redacted(uri)}")


def _download(uri: str, folder: Path, current: Settings) -> Path:
    parent, name = posixpath.split(uri.rstrip("/"))
    try:
        with _fetching_from(uri):
            return Path(retry.patiently(repository(parent, current).download_artifacts, name, str(folder)))
    except errors.ArtifactError as error:
        # MLflow fetches in parts and keeps to itself why one of them failed.
        if (free := shutil.disk_usage(folder).free) < _SPARE:
            raise errors.ArtifactError(
                f"{error}; only {free / 1e6:.1f} MB are free on the disk of {current.home}"
            ) from error
        _require_listed(uri, current)  # where the server is gone, this says so
        raise


@contextmanager
def _fetching_from(uri: str) -> Iterator[None]:
    try:
        with explaining_place(uri, settings()):
            yield
    except errors.UserError:
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise errors.ArtifactError(
            f"artifact {secrets.redacted(uri)} cannot be fetched: {secrets.first_line(error)}"
        ) from error


def _signature(path: Path) -> Signature:
    files = _files(path) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in files]
    return tuple((file.relative_to(path).as_posix(), stat.st_size, stat.st_mtime_ns) for file, stat in facts)


def _verify(path: Path, reference: refs.Reference) -> Path:
    """The path, if its bytes are those of the reference; read once for as long as sizes and times stay."""
    key, signature = (str(path), reference.sha256), _signature(path)
    if _verified.get(key) != signature:
        if digest(path) != reference.sha256:
            raise errors.ArtifactError(
                f"artifact {secrets.redacted(reference.uri)} is damaged: its checksum is not the recorded one"
            )
        _verified[key] = signature
    return path


def in_s3(place: str) -> S3Address | None:
    """The address of objects that `place` is; None where it is none."""
    try:
        return s3_address(place)
    except ValueError:
        return None


@contextmanager
def explaining_place(place: str, current: Settings) -> Iterator[None]:
    """Say what boto3 means, where the place is in S3. Raises as `explaining`."""
    address = in_s3(place)
    with explaining(address, current) if address else nullcontext():
        yield


def repository(place: str, current: Settings) -> Any:
    """MLflow's artifact repository of an address.

    Raises:
        MlflowException: no store has addresses of this kind.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=current.tracking_uri, registry_uri=current.tracking_uri)
