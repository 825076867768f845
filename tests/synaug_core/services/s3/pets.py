"""What lies in the bucket, and its mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synaug_core.services.s3.mirror import Mirror, mirrored
from synaug_core.services.settings import settings

FILES = {f"cat/{i}.png": b"cat %d" % i for i in range(3)} | {"dog/ü é+%&?#.png": b"dog", "dog/deep/er.png": b"deep"}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def mirror(bucket: Any, prefix: str = "pets") -> Mirror:
    with mirrored(bucket.at(prefix), settings()) as made:
        return made
