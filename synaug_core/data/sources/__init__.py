"""Where images come from. A new kind of source is one file and one line in `_OPENERS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synaug_core.config import DataConfig
from synaug_core.data.decode import Limits
from synaug_core.data.sources.base import Item, Listing
from synaug_core.data.sources.digits import list_digits
from synaug_core.data.sources.folder import list_folder
from synaug_core.data.sources.npz import list_npz
from synaug_core.errors import DataError

__all__ = ["Item", "Listing", "kind_of", "open_source", "source_path"]


def open_source(config: DataConfig) -> Listing:
    """List the images of `config.source` without decoding them.

    Raises:
        DataError: the source is missing, of no known kind, or empty.
    """
    return _OPENERS[kind_of(config.source)](config)


def kind_of(source: str) -> str:
    """`digits`, `npz`, `parquet` or `folder`.

    Raises:
        DataError: none of them.
    """
    if source == "digits":
        return "digits"
    if "://" in source:
        scheme = source.partition("://")[0]
        raise DataError(f"data.source: {scheme}:// is not on this machine; a run copies it here before it reads it")
    path = source_path(source)
    if _is_parquet(path):
        return "parquet"
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise DataError(f"data.source: there is no folder or file {source}")
    if path.suffix.lower() == ".npz":
        return "npz"
    raise DataError(f"data.source: {source} is neither a folder nor an .npz or .parquet file; unpack archives first")


def source_path(source: str) -> Path:
    """The path of a folder or file, `~` expanded."""
    return Path(source).expanduser()


def _is_parquet(path: Path) -> bool:
    """Whether it is a .parquet file, or a folder with such files and no folders in it."""
    if not path.is_dir():
        return path.is_file() and path.suffix.lower() == ".parquet"
    inner = [p for p in path.iterdir() if not p.name.startswith(".")]
    return any(p.suffix.lower() == ".parquet" for p in inner) and all(p.is_file() for p in inner)


def _limits(config: DataConfig) -> Limits:
    return Limits(megapixels=config.max_megapixels, megabytes=config.max_megabytes)


def _folder(config: DataConfig) -> Listing:
    from synaug_core.data.metadata import metadata_path

    return list_folder(source_path(config.source), _limits(config), skip=metadata_path(config))


def _parquet(config: DataConfig) -> Listing:
    from synaug_core.data.sources.parquet import list_parquet

    return list_parquet(source_path(config.source), _limits(config))


_OPENERS: dict[str, Callable[[DataConfig], Listing]] = {
    "digits": lambda _: list_digits(),
    "folder": _folder,
    "npz": lambda config: list_npz(source_path(config.source), _limits(config)),
    "parquet": _parquet,
}
