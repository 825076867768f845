"""Disks that take nothing more: small file systems in memory, where one can be mounted."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["full_disk", "read_only"]


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """`folder`, which is made, on a disk without room."""
    folder.mkdir(parents=True, exist_ok=True)
    with _mounted(folder, "-t", "tmpfs", "-o", "size=1m", "none"):
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """`folder` with what is in it, on a disk that cannot be written."""
    with _mounted(folder, "--bind", str(folder)):
        _call("mount", "-o", "remount,ro,bind", str(folder))
        yield


@contextlib.contextmanager
def _mounted(folder: Path, *what: str) -> Iterator[None]:
    _call("mount", *what, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _call(*line: str) -> None:
    if sys.platform != "linux":
        pytest.skip("only on Linux can a test mount")
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
