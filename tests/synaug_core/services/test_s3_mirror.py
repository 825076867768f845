"""The mirror of a bucket, on a real server."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import ArtifactError, DataError, SynaugError, UserError
from synaug_core.services import s3_download, s3_mirror
from synaug_core.services.buckets import Mirror, bucket_fingerprint, mirrored
from synaug_core.services.settings import Settings, settings

FILES = {f"cat/{i}.png": b"cat %d" % i for i in range(3)} | {"dog/ü é+%&?#.png": b"dog", "dog/deep/er.png": b"deep"}


@pytest.fixture
def here(home: Path, bucket: Any) -> Settings:
    """An empty home, and the settings of the environment that the bucket's fixture made."""
    return settings()


@pytest.fixture
def filled(bucket: Any) -> Any:
    """A bucket with a few objects below `pets`, and one beside it that is not meant."""
    for name, body in FILES.items():
        bucket.put(f"pets/{name}", body)
    bucket.put("pets2/other.png", b"other")
    return bucket


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def mirror(bucket: Any, prefix: str = "pets") -> Mirror:
    with mirrored(bucket.at(prefix), settings()) as made:
        return made


def test_a_prefix_becomes_a_folder_of_its_name(filled: Any, here: Settings) -> None:
    told: list[tuple[int, int]] = []
    with mirrored(filled.at("pets/"), here, lambda done, total: told.append((done, total))) as made:
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


def test_a_killed_download_goes_on(filled: Any, here: Settings, faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_mirror, "THREADS", 1)
    plain, fetched = s3_mirror.download, []

    def dies(client: Any, address: Any, stored: Any, target: Path) -> None:
        if len(fetched) == 3:
            target.write_bytes(b"half")
            raise KeyboardInterrupt
        plain(client, address, stored, target)
        fetched.append(stored.name)

    monkeypatch.setattr(s3_mirror, "download", dies)
    with pytest.raises(KeyboardInterrupt):
        mirror(filled)
    monkeypatch.setattr(s3_mirror, "download", plain)
    [journal] = (here.home / "mirrors").rglob("objects.jsonl")
    with journal.open("a") as file:
        file.write('["cat/2.png", ["et')  # what a kill in the midst of a line leaves
    faults.seen.clear()
    after = mirror(filled)
    assert after.fetched == 2
    assert len(faults.reads()) == 2
    assert files(after.path) == FILES
    assert len([json.loads(line) for line in journal.read_text().splitlines() if "]]" in line]) == 5


def test_two_at_once_take_turns(filled: Any, here: Settings) -> None:
    order: list[str] = []
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with mirrored(filled.at("pets"), here):
            inside.set()
            go.wait(20)
            order.append("first")

    def second() -> None:
        with mirrored(filled.at("pets"), here) as made:
            order.append(f"second {made.fetched}")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert order == ["first", "second 0"]


class TestFaults:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3_download.time, "sleep", lambda seconds: None)

    @pytest.mark.parametrize("kind", ["cut", "corrupt", "503", "drop"])
    def test_what_breaks_twice_works_the_third_time(self, filled: Any, here: Settings, faults: Any, kind: str) -> None:
        faults.add(kind, times=2, to="cat/1.png")
        made = mirror(filled)
        assert files(made.path) == FILES
        assert len(faults.reads("cat/1.png")) == 3

    @pytest.mark.parametrize("kind", ["503", "drop"])
    def test_the_listing_too(self, filled: Any, here: Settings, faults: Any, kind: str) -> None:
        faults.add(kind, times=1, to="list-type")
        assert mirror(filled).objects == 5

    def test_wrong_bytes_each_time_are_an_error(self, filled: Any, here: Settings, faults: Any) -> None:
        mirror(filled)
        filled.put("pets/cat/1.png", b"cat 1 has grown")
        faults.add("corrupt", times=99, to="cat/1.png")
        with pytest.raises(ArtifactError, match=r"'cat/1.png' came with wrong bytes 4 times \(the MD5") as caught:
            mirror(filled)
        assert "\n" not in str(caught.value)
        root = next((here.home / "mirrors").glob("*/files/pets"))
        assert (root / "cat" / "1.png").read_bytes() == FILES["cat/1.png"]  # the old one is whole
        faults.plan.clear()
        assert mirror(filled).fetched == 1

    def test_a_server_that_fails_for_good(
        self, filled: Any, here: Settings, faults: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_RETRY_MODE", "standard")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        faults.add("503", times=99, to="cat/1.png")
        with pytest.raises(SynaugError, match="the server says SlowDown") as caught:
            mirror(filled)
        assert not isinstance(caught.value, UserError)
        assert len(faults.reads("cat/1.png")) == 2

    def test_an_object_that_changes_under_the_reader(self, filled: Any, here: Settings, monkeypatch: Any) -> None:
        plain = s3_mirror.download

        def late(client: Any, address: Any, stored: Any, target: Path) -> None:
            if stored.name == "cat/1.png":
                filled.put("pets/cat/1.png", b"changed")
            plain(client, address, stored, target)

        monkeypatch.setattr(s3_mirror, "download", late)
        with pytest.raises(DataError, match="changed while it was read; start the run again"):
            mirror(filled)

    def test_no_room(self, filled: Any, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 10})
        monkeypatch.setattr(s3_mirror.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(SynaugError, match="are free; make room, or set SYNAUG_HOME"):
            mirror(filled)


class TestLarge:
    @pytest.fixture
    def big(self, bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bytes]:
        """Uploads 12 MiB in parts of 5 MiB or as told."""
        monkeypatch.setattr(s3_download, "LARGE", 4 * 2**20)
        monkeypatch.setattr(s3_mirror, "LARGE", 4 * 2**20)
        monkeypatch.setattr(s3_download.time, "sleep", lambda seconds: None)

        def upload(part: int = 5 * 2**20, size: int = 12 * 2**20) -> bytes:
            from boto3.s3.transfer import TransferConfig

            data = os.urandom(size)
            (tmp_path / "big").write_bytes(data)
            config = TransferConfig(multipart_threshold=5 * 2**20, multipart_chunksize=part)
            bucket.client.upload_file(str(tmp_path / "big"), bucket.name, "sets/big.npz", Config=config)
            return data

        return upload

    @pytest.mark.parametrize("part", [5 * 2**20, 5 * 2**20 + 12345])
    def test_fetched_in_parts_and_verified(self, bucket: Any, here: Settings, big: Any, faults: Any, part: int) -> None:
        data = big(part)
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data
        assert len(faults.reads("big.npz")) > 2

    def test_in_one_upload(self, bucket: Any, here: Settings, big: Any) -> None:
        data = big(size=4 * 2**20 + 1)
        assert "-" not in bucket.client.head_object(Bucket=bucket.name, Key="sets/big.npz")["ETag"]
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data

    @pytest.mark.parametrize("part", [5 * 2**20, 5 * 2**20 + 12345])
    def test_a_flipped_bit_is_noticed(self, bucket: Any, here: Settings, big: Any, faults: Any, part: int) -> None:
        data = big(part)
        faults.add("corrupt", times=1, to="big.npz")
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data
        faults.add("corrupt", times=99, to="big.npz")
        bucket.put("sets/big.npz", b"x" * (5 * 2**20))
        with pytest.raises(ArtifactError, match="wrong bytes"):
            mirror(bucket, "sets/big.npz")

    def test_a_cut_part_is_fetched_again(self, bucket: Any, here: Settings, big: Any, faults: Any) -> None:
        data = big()
        faults.add("cut", times=2, to="big.npz")
        faults.add("503", times=1, to="big.npz")
        assert mirror(bucket, "sets/big.npz").path.read_bytes() == data


class TestErrors:
    def said(self, address: str) -> str:
        for call in (
            lambda: bucket_fingerprint(address, settings()),
            lambda: mirrored(address, settings()).__enter__(),
        ):
            with pytest.raises(UserError) as caught:
                call()
        text = str(caught.value)
        assert "\n" not in text
        assert "an-S3-secret" not in text
        return text

    @pytest.fixture(autouse=True)
    def _impatient(self, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_RETRY_MODE", "standard")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def test_no_such_bucket(self, s3_server: Any) -> None:
        place = f"s3://no-such-bucket/x at {s3_server.endpoint}"
        assert self.said("s3://no-such-bucket/x") == f"there is no bucket 'no-such-bucket' for {place}"

    def test_nothing_there(self, bucket: Any) -> None:
        bucket.put("pets/", b"")
        assert self.said(bucket.at("pets")) == f"{bucket.at('pets')} has no objects"
        assert self.said(bucket.at("set.npz")) == f"{bucket.at('set.npz')} has no objects"
        bucket.put("images.zip", b"PK")
        assert "is one object; give a prefix" in self.said(bucket.at("images.zip"))

    @pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
    def test_wrong_credentials(self, bucket: Any, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv(variable, "hunter2-hunter2")
        text = self.said(bucket.at("pets"))
        assert text.startswith(f"no access to {bucket.at('pets')} at http://127.0.0.1")
        assert "(SignatureDoesNotMatch)" in text
        assert "hunter2" not in text

    def test_somebody_else_s_bucket(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger:bob")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "bobs-own-secret")
        assert "bobs-own-secret" not in self.said(bucket.at("pets"))

    def test_no_credentials(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert self.said(bucket.at("pets")).endswith(
            "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert "cannot be read: ProfileNotFound" in self.said(bucket.at("pets"))

    def test_credentials_from_a_profile(self, filled: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"):
            monkeypatch.delenv(name)
        server = filled.server
        keys = f"aws_access_key_id = {server.access}\naws_secret_access_key = {server.secret}\n"
        (tmp_path / "credentials").write_text(f"[ours]\n{keys}endpoint_url = {server.endpoint}\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_PROFILE", "ours")
        assert mirror(filled).objects == 5

    def test_nobody_answers(self, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:9")
        text = self.said(bucket.at("pets"))
        assert "at http://127.0.0.1:9: the server does not answer; check AWS_ENDPOINT_URL_S3" in text
        assert "hunter2" not in text
