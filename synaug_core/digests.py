"""Digests of bytes, files, values and code: what results are known by."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_version", "of_bytes", "of_file", "of_value"]

_ROOT = Path(__file__).resolve().parent
_NUMERIC = ("diffusers", "numpy", "pillow", "scikit-learn", "scipy", "timm", "torch")


def of_bytes(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """SHA-256 of a JSON-able value in its canonical form (sorted keys)."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


@functools.cache
def code_version(*packages: str) -> str:
    """Digest of the source of the named `synaug_core` packages (all where none is named), of the modules beside them,
    which every package may use, and of the numeric libraries' versions: what a cached result depends on besides its
    inputs."""
    folders = [_ROOT / p for p in packages] or [_ROOT]
    files = sorted({*_ROOT.glob("*.py"), *(f for folder in folders for f in folder.rglob("*.py"))})
    sources = {str(f.relative_to(_ROOT)): of_file(f) for f in files}
    return of_value({"sources": sources, "libraries": {n: _version(n) for n in _NUMERIC}})


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"
