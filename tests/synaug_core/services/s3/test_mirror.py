"""The mirror of a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synaug_core.services.s3.mirror import bucket_fingerprint, mirrored
from synaug_core.services.settings import Settings
from tests.synaug_core.services.s3.pets import FILES, files, mirror


def test_a_prefix_becomes_a_folder_of_its_name(filled: Any, here: Settings) -> None:
    told: list[tuple[int, int]] = []
    with mirrored(filled.at("pets/"), here, lambda done, total, **_: told.append((done, total))) as made:
        assert made.path.name == "pets"
        assert made.path.is_relative_to(here.home)
        assert files(made.path) == FILES
    assert (made.objects, made.fetched, made.removed, made.refused) == (5, 5, 0, ())
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)
    assert made.fingerprint == bucket_fingerprint(filled.at("pets"), here)
    assert not list((here.home / "mirrors").rglob("parts"))


def test_a_whole_bucket(filled: Any, here: Settings) -> None:
    made = mirror(filled, "")
    assert made.path.name == filled.name
    assert files(made.path) == {f"pets/{n}": b for n, b in FILES.items()} | {"pets2/other.png": b"other"}


def test_only_what_changed_is_fetched_again(filled: Any, here: Settings, faults: Any) -> None:
    before = mirror(filled)
    faults.seen.clear()
    assert mirror(filled).fetched == 0
    assert faults.reads() == []
    filled.put("pets/cat/1.png", b"another cat")
    filled.put("pets/dog/new.png", b"new")
    filled.put("pets/cat/0.png", FILES["cat/0.png"])  # written again, with the same bytes
    filled.delete("pets/dog/deep/er.png")
    after = mirror(filled)
    assert (after.fetched, after.removed) == (2, 1)
    assert sorted(p.rpartition("/")[2] for p in faults.reads()) == ["1.png", "new.png"]
    wanted = FILES | {"cat/1.png": b"another cat", "dog/new.png": b"new"}
    del wanted["dog/deep/er.png"]
    assert files(after.path) == wanted
    assert not (after.path / "dog" / "deep").exists()
    assert after.fingerprint != before.fingerprint


def test_files_that_were_touched_here_are_fetched_again(filled: Any, here: Settings, tmp_path: Path) -> None:
    root = mirror(filled).path
    (root / "cat" / "0.png").write_bytes(b"CAT 0")  # of equal length
    (root / "cat" / "1.png").unlink()
    (root / "stray.png").write_bytes(b"stray")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (root / "link").symlink_to(outside)
    after = mirror(filled)
    assert (after.fetched, after.removed) == (2, 2)
    assert files(root) == FILES
    assert (outside / "kept").exists()


def test_an_object_becomes_a_folder_and_back(bucket: Any, here: Settings) -> None:
    bucket.put("p/a", b"file")
    mirror(bucket, "p")
    bucket.delete("p/a")
    bucket.put("p/a/b", b"inner")
    assert files(mirror(bucket, "p").path) == {"a/b": b"inner"}
    bucket.delete("p/a/b")
    bucket.put("p/a", b"file")
    assert files(mirror(bucket, "p").path) == {"a": b"file"}


@pytest.mark.parametrize("name", ["set.npz", "train.parquet"])
def test_one_object_that_holds_all(bucket: Any, here: Settings, name: str) -> None:
    bucket.put(f"sets/{name}", b"all of it")
    bucket.put(f"sets/{name}.txt", b"beside")
    made = mirror(bucket, f"sets/{name}")
    assert made.path.name == name
    assert made.path.read_bytes() == b"all of it"


def test_the_fingerprint_is_of_the_listing_alone(filled: Any, here: Settings, faults: Any) -> None:
    first = bucket_fingerprint(filled.at("pets"), here)
    for name, body in FILES.items():
        filled.put(f"copy/of/{name}", body)
    assert bucket_fingerprint(filled.at("copy/of"), here) == first
    filled.put("pets/cat/0.png", b"CAT 0")
    assert bucket_fingerprint(filled.at("pets"), here) != first
    assert faults.reads() == []


def test_more_objects_than_a_page_of_the_listing(bucket: Any, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(25):
        bucket.put(f"p/{n}")
    from botocore.client import BaseClient

    plain = BaseClient._make_api_call

    def small_pages(self: Any, name: str, arguments: dict[str, Any]) -> Any:
        return plain(self, name, arguments | ({"MaxKeys": 4} if name == "ListObjectsV2" else {}))

    monkeypatch.setattr(BaseClient, "_make_api_call", small_pages)
    assert mirror(bucket, "p").objects == 25
