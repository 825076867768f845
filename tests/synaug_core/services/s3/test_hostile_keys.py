"""Keys that would leave the mirror's folder, or cannot be names of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synaug_core.services.settings import Settings
from tests.synaug_core.services.s3.pets import files, mirror

HOSTILE = {
    "../../x": "its key has . or .. as a part",
    "a/../../../y.png": "its key has . or .. as a part",
    "..": "its key has . or .. as a part",
    "./z": "its key has . or .. as a part",
    "/etc/passwd": "its key has an empty part",
    "a//b": "its key has an empty part",
    "back\\..\\slash": "its key has a backslash",
    "new\nline": "its key has control characters",
    "k" * 900: "its key has a part of more than 200 bytes",
    "full/": "its key ends with a slash",
    "twin": "its key is also the folder of other keys",
}


def test_hostile_keys_stay_out(bucket: Any, here: Settings, tmp_path: Path) -> None:
    for key in HOSTILE:
        bucket.put(f"h/{key}", b"evil")
    for key in ("good.png", "twin/inner.png", "...", " spaces ", "~", "$(touch x)", ".hidden", "CON"):
        bucket.put(f"h/{key}", b"good")
    bucket.put("h/empty/", b"")  # only stands for a folder
    before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(here.home)}
    made = mirror(bucket, "h")
    assert set(files(made.path).values()) == {b"good"}
    assert len(files(made.path)) == made.objects == 8
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(here.home)} == before
    told = {r.name: r.reason for r in made.refused}
    assert len(told) == len(HOSTILE)
    assert told["../../x"] == HOSTILE["../../x"]
    assert told["new\\x0aline"] == HOSTILE["new\nline"]
    assert sorted(told.values()) == sorted(HOSTILE.values())
    assert all(len(name) <= 120 for name in told)
