from __future__ import annotations

import datetime as dt
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from synaug_core.serving import log as log_module
from synaug_core.serving.answer import Answer
from synaug_core.serving.log import PredictionLog, read_recent

CLASSES = ("a", "Ä b")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def answer(seed: int, n: int = 2, *, version: str = "1", channels: int = 3, minute: int | None = None) -> Answer:
    rng = np.random.default_rng(seed)
    known = SimpleNamespace(classes=CLASSES, channels=channels, size=8)
    served = SimpleNamespace(name="synaug-x", version=version, alias="champion", classifier=known)
    return Answer(
        served=cast(Any, served),
        names=("secret patient.png",) * n,
        pixels=rng.integers(0, 256, (n, channels, 8, 8), dtype=np.uint8),
        features=rng.normal(size=(n, 5)).astype(np.float32),
        probabilities=rng.dirichlet([1, 1], n).astype(np.float32),
        when=START + dt.timedelta(minutes=seed if minute is None else minute),
    )


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., tuple[Path, PredictionLog]]:
    def write(*answers: Answer, mode: Any = "images", megabytes: float = 10.0) -> tuple[Path, PredictionLog]:
        log = PredictionLog(tmp_path / "served" / "x", mode, megabytes)
        log.start()
        for one in answers:
            log.put(one)
        log.stop()
        return tmp_path / "served" / "x", log

    return write


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_newest_first(written, channels):
    answers = [answer(i, channels=channels) for i in range(5)]
    folder, log = written(*answers)
    found = read_recent(folder, most=100)
    assert log.written == len(found) == 10
    assert [k.when for k in found] == sorted([k.when for k in found], reverse=True)
    newest = answers[-1]
    assert {k.digest for k in found[:2]} == {k.digest for k in read_recent(folder, most=2)}
    assert {k.pixels.tobytes() for k in found[:2]} == {p.tobytes() for p in newest.pixels}
    assert {k.predicted for k in found} <= set(CLASSES)
    assert all(k.features is None and k.version == "1" for k in found)
    assert len(read_recent(folder, most=3)) == 3
    assert len(read_recent(folder, most=99, since=START + dt.timedelta(minutes=3))) == 4


def test_features_serve_their_own_version_only(written):
    folder, _ = written(answer(1), answer(2, version="2"), mode="features")
    assert read_recent(folder, most=9) == []
    found = read_recent(folder, most=9, features_of="2")
    assert [k.version for k in found] == ["2", "2"]
    wanted = {row.tobytes() for row in answer(2).features}
    assert {k.features.tobytes() for k in found} == wanted
    assert all(k.pixels is None for k in found)
    heads = [json.loads(path.read_text().splitlines()[0]) for path in sorted(folder.iterdir())]
    assert [head["version"] for head in heads] == ["1", "2"]  # a file for each
    assert heads[0]["classes"] == list(CLASSES)


def test_nothing_is_kept_where_nothing_is_asked(written, tmp_path):
    folder, log = written(answer(1), mode="none")
    assert not folder.exists()
    assert (log.written, log.dropped) == (0, 0)
    assert read_recent(folder, most=9) == []


def test_equal_images_count_once(written):
    folder, log = written(answer(1), answer(1, minute=7), answer(2))
    found = read_recent(folder, most=9)
    assert (log.written, len(found)) == (6, 4)


def test_only_the_owner_reads_and_no_name_is_kept(written):
    folder, _ = written(answer(1))
    assert folder.stat().st_mode & 0o777 == 0o700
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "patient" not in file.read_text()
    row = json.loads(file.read_text().splitlines()[1])
    assert sorted(row) == ["class", "digest", "image", "probabilities", "time", "version"]
    np.testing.assert_allclose(row["probabilities"], answer(1).probabilities[0], atol=1e-6)


def test_the_folder_stays_small(written):
    folder, log = written(*[answer(i, 40) for i in range(60)], megabytes=0.1)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert log.written == 2400
    assert sum(sizes) < 0.13e6
    assert len(sizes) > 3
    assert read_recent(folder, most=9999)[0].when == START + dt.timedelta(minutes=59)  # the oldest went


def test_torn_and_foreign_files_do_no_harm(written):
    folder, _ = written(*[answer(i) for i in range(3)])
    [file] = folder.iterdir()
    lines = file.read_bytes().split(b"\n")
    bad = [
        b"{",
        b"[]",
        b"null",
        b'{"time": "yesterday"}',
        lines[1].replace(b'"time":"2026', b'"time":"x'),
        lines[1].replace(b"+00:00", b""),
        lines[2].replace(b'"image":"iVBOR', b'"image":"@@@@@'),
        lines[2].replace(b'"image":"iVBOR', b'"image":"AAAAA'),
        b'{"features":"AAAA","time":"2026-01-01T00:00:00+00:00"}',
    ]
    file.write_bytes(b"\n".join([*lines[:5], *bad, lines[5][:40]]))
    (folder / "other.jsonl").write_bytes(b"\xff\xfe")
    (folder / "another.jsonl").write_text('{"kind": "something else"}\n' + lines[1].decode())
    (folder / "empty.jsonl").touch()
    (folder / "folder.jsonl").mkdir()
    assert len(read_recent(folder, most=99)) == 4


def test_a_full_queue_drops_and_never_waits(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path / "x", "images", 1.0)
    release = threading.Event()
    monkeypatch.setattr(log, "_run", release.wait)  # nobody takes what waits: a put that waited would never end
    log.start()
    for _ in range(100):
        log.put(answer(0, 1))
    release.set()
    assert log.dropped == 100 - log_module._WAITING


def test_a_disk_that_fails_is_said_and_survived(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    log = PredictionLog(folder, "images", 1.0)
    full = True
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    log._write([answer(1)])
    assert (log.dropped, log.written) == (2, 0)
    assert log.problem == "predictions cannot be kept (no space left on device)"
    full = False
    log._write([answer(2)])
    assert (log.written, log.problem) == (2, None)
    assert len(list(folder.iterdir())) == 2  # a torn line ends its file
    blocked = PredictionLog(tmp_path / "file" / "x", "images", 1.0)
    (tmp_path / "file").touch()
    blocked._write([answer(1)])
    assert blocked.problem == "predictions cannot be kept (not a directory)"


def test_a_file_is_on_the_disk_before_the_next_one_begins(tmp_path, monkeypatch):
    log = PredictionLog(tmp_path / "x", "images", 1.0)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if "-000001-" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    log._write([answer(1), answer(2, version="2")])
    assert (log.written, log.dropped) == (0, 4)
    assert log.problem == "predictions cannot be kept (no space left on device)"


def test_old_files_are_not_read(written, monkeypatch):
    folder, _ = written(answer(1), answer(2, version="2"))
    now = dt.datetime.now(dt.UTC)
    first, second = sorted(folder.iterdir())
    os.utime(second, (now.timestamp(),) * 2)
    os.utime(first, (START.timestamp() - 60,) * 2)
    second.write_bytes(second.read_bytes().replace(b"2026-01-01T00:02:00.000", b"2026-05-01T00:02:00.000"))
    first.write_bytes(b"would be an error if it were read as ours")
    os.utime(first, (START.timestamp() - 60,) * 2)
    read = []
    real = log_module._rows
    monkeypatch.setattr(log_module, "_rows", lambda path: read.append(path) or real(path))
    assert len(read_recent(folder, most=2)) == 2
    assert len(read_recent(folder, most=9, since=START)) == 2
    assert first not in read


def test_two_services_keep_apart(written, tmp_path):
    folder, _ = written(answer(1))
    other = PredictionLog(folder, "images", 10.0)
    other.start()
    other.put(answer(2))
    other.stop()
    assert len(list(folder.iterdir())) == 2
    assert len(read_recent(folder, most=9)) == 4
