"""The kinds of sources that images come from. A new kind is one file beside this one and one entry of `KINDS`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaug_core.errors import DataError

if TYPE_CHECKING:
    from synaug_core.data.sources.base import Instructions, Listing

__all__ = [
    *("FILE_SUFFIXES", "KINDS", "LABEL_SUFFIXES", "WHAT_TO_GIVE", "SourceKind"),
    *("built_in_settings", "is_built_in", "is_path", "match_kind", "source_path"),
]


@dataclass(frozen=True)
class SourceKind:
    """What a kind of source matches, and how it is opened. Nothing is imported before it is opened.

    Attributes:
        name: stands in the fingerprint of a source.
        open: lists the images of a path without decoding them, as instructed.
        suffix: in small letters, of a file that holds a whole source, here or in a bucket; "" where there is none.
        matches_folder: whether a folder is of this kind.
        version: of a built-in source, which is given by its name: what its images depend on.
        settings: of a built-in source: the configuration where nothing but its name is given.
    """

    name: str
    open: Callable[[Path, Instructions], Listing]
    suffix: str = ""
    matches_folder: Callable[[Path], bool] = lambda _: False
    version: Callable[[], str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, path: Path) -> bool:
        """Whether an existing path is of this kind."""
        return self.matches_folder(path) if path.is_dir() else path.is_file() and _suffix(path) == self.suffix != ""


def _open_digits(path: Path, instructions: Instructions) -> Listing:
    from synaug_core.data.sources import digits

    return digits.list_digits()


def _digits_version() -> str:
    from synaug_core.data.sources import digits

    return digits.digits_version()


def _open_npz(path: Path, instructions: Instructions) -> Listing:
    from synaug_core.data.sources import npz

    return npz.list_npz(path, instructions.limits)


def _open_parquet(path: Path, instructions: Instructions) -> Listing:
    from synaug_core.data.sources import parquet

    return parquet.list_parquet(path, instructions.limits)


def _holds_parquet_only(folder: Path) -> bool:
    """Whether a folder has .parquet files and no folders in it, or nothing but folders of .parquet files beside its
    documents, as the repositories of Hugging Face's hub have them."""
    paths = [p for p in folder.iterdir() if not p.name.startswith(".")]
    folders = [p for p in paths if p.is_dir()]
    if any(_suffix(p) == ".parquet" for p in paths):
        return not folders
    inner = [[p for p in one.iterdir() if not p.name.startswith(".")] for one in folders]
    return bool(inner) and all(files and all(_suffix(p) == ".parquet" for p in files) for files in inner)


def _open_folder(path: Path, instructions: Instructions) -> Listing:
    from synaug_core.data.sources import folder

    return folder.list_folder(path, instructions)


KINDS = (
    SourceKind("npz", _open_npz, suffix=".npz"),
    SourceKind("parquet", _open_parquet, suffix=".parquet", matches_folder=_holds_parquet_only),
    SourceKind("folder", _open_folder, matches_folder=lambda _: True),
    SourceKind(
        "digits",
        _open_digits,
        version=_digits_version,
        # Balanced and not mirror-symmetric: given alone they serve as a rare-class problem.
        settings={
            "data": {"long_tail": 20.0},
            "generator": {"augment": "none"},
            "classifier": {"augmentation": {"mirror": "none"}},
        },
    ),
)
"""Every kind; the first one that matches a path opens it."""

FILE_SUFFIXES = tuple(kind.suffix for kind in KINDS if kind.suffix)
_FILES = f"{' or '.join([', '.join(FILE_SUFFIXES[:-1]), FILE_SUFFIXES[-1]])} file"
_BUILT_IN = {kind.name: kind for kind in KINDS if kind.version}
LABEL_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
"""Of files that name the classes of images that lie beside or below them."""
WHAT_TO_GIVE = (
    f"a folder of class folders, a file that names the images' classes ({', '.join(LABEL_SUFFIXES)}), an {_FILES}, or "
    f"{' or '.join(f'`{name}`' for name in _BUILT_IN)}"
)
"""What a user may give as a source, for help texts and errors."""


def match_kind(source: str) -> SourceKind:
    """The kind of a source on this machine.

    Raises:
        DataError: it is missing, elsewhere, or of no kind.
    """
    if source in _BUILT_IN:
        return _BUILT_IN[source]
    if "://" in source:
        scheme = source.partition("://")[0]
        raise DataError(f"data.source: {scheme}:// is not on this machine; a run copies it here before it reads it")
    path = source_path(source)
    if not path.exists():
        raise DataError(f"data.source: there is no folder or file {source}")
    kind = next((kind for kind in KINDS if kind.matches(path)), None)
    if kind is None:
        raise DataError(f"data.source: {source} is neither a folder nor an {_FILES}; unpack archives first")
    return kind


def is_built_in(source: str) -> bool:
    """Whether a source is the name of one that needs no files."""
    return source in _BUILT_IN


def built_in_settings(source: str) -> dict[str, Any]:
    """The configuration of a built-in source, where nothing but its name is given."""
    settings = copy.deepcopy(dict(_BUILT_IN[source].settings))
    return {"name": source, **settings, "data": {"source": source, **settings.get("data", {})}}


def is_path(source: str) -> bool:
    """Whether a source is the path of a folder or file: neither built in nor an address."""
    return source not in _BUILT_IN and "://" not in source


def source_path(source: str) -> Path:
    """The path of a folder or file, `~` expanded."""
    return Path(source).expanduser()


def _suffix(path: Path) -> str:
    return path.suffix.lower()
