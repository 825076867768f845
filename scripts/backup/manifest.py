"""What a backup holds: every file with its digest, so that a damaged one is found before anything is overwritten."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synaug_core import digests
from synaug_core.errors import SynaugError, UserError

__all__ = ["Manifest", "check", "read_manifest", "write_manifest"]

_NAME = "backup.json"


@dataclass(frozen=True)
class Manifest:
    """`files`: name -> SHA-256; `facts`: what restoring needs to know."""

    files: dict[str, str]
    facts: dict[str, str]


def write_manifest(folder: Path, kind: str, facts: dict[str, str]) -> int:
    """Describe the folder's files in it, and give their number."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {name: digests.of_file(folder / name) for name in names}
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    text = json.dumps({"kind": kind, "made": created, "facts": facts, "files": files}, indent=1)
    (folder / _NAME).write_text(text, encoding="utf-8")
    return len(files)


def read_manifest(folder: Path, kind: str) -> Manifest:
    """Raises:
    UserError: the folder is no backup of this kind.
    """
    try:
        manifest = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        if manifest["kind"] != kind:
            raise UserError(f"{folder} is a backup of a {manifest['kind']}, not of a {kind}")
        return Manifest(dict(manifest["files"]), dict(manifest["facts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is no whole backup: {_NAME} is missing or cannot be read") from error


def check(folder: Path, manifest: Manifest) -> None:
    """Raises:
    SynaugError: a file is missing or has other bytes than were written.
    """
    for name, sha256 in manifest.files.items():
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts:
            raise SynaugError(f"{folder}: the file {name!r} would lie outside")
        if not (folder / name).is_file():
            raise SynaugError(f"{folder}: the file {name} is missing; take another backup")
        if digests.of_file(folder / name) != sha256:
            raise SynaugError(f"{folder}: the file {name} is damaged; take another backup")
