"""Digests of bytes, files, values and code: what results are known by."""

import functools
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_version", "library_versions", "of_bytes", "of_file", "of_value"]

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
def code_version() -> str:
    """Digest of all of the core's source and of the numeric libraries' versions: what a run depends on besides its
    inputs. What a single step depends on: `code_reach`."""
    sources = {str(f.relative_to(_ROOT)): of_file(f) for f in sorted(_ROOT.rglob("*.py"))}
    return of_value({"sources": sources, "libraries": library_versions()})


@functools.cache
def library_versions() -> dict[str, str]:
    """The versions of the libraries that make the numbers."""
    return {name: _version(name) for name in _NUMERIC}


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"
