"""A mirror that is killed, waited for, or badly served."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import ArtifactError, DataError, SynaugError, UserError
from synaug_core.services.s3 import download as downloading
from synaug_core.services.s3 import mirror as mirroring
from synaug_core.services.s3.mirror import mirrored
from synaug_core.services.settings import Settings
from tests.synaug_core.services.s3.pets import FILES, files, mirror


def test_a_killed_download_goes_on(filled: Any, here: Settings, faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "THREADS", 1)
    plain, fetched = downloading.download, list[str]()

    def dies(client: Any, address: Any, stored: Any, target: Path) -> None:
        if len(fetched) == 3:
            target.write_bytes(b"half")
            raise KeyboardInterrupt
        plain(client, address, stored, target)
        fetched.append(stored.name)

    monkeypatch.setattr(mirroring, "download", dies)
    with pytest.raises(KeyboardInterrupt):
        mirror(filled)
    monkeypatch.setattr(mirroring, "download", plain)
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
    threads[1].join(0.5)
    assert order == []
    go.set()
    for thread in threads:
        thread.join(20)
    assert order == ["first", "second 0"]


class TestFaults:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

    @pytest.mark.parametrize("kind", ["cut", "corrupt", "503", "drop"])
    def test_what_breaks_twice_works_the_third_time(self, filled: Any, here: Settings, faults: Any, kind: str) -> None:
        faults.add(kind, times=2, to="cat/1.png")
        made = mirror(filled)
        assert files(made.path) == FILES
        assert len(faults.reads("cat/1.png")) == 3
        assert not any(f.times for f in faults.plan)

    @pytest.mark.parametrize("kind", ["503", "drop"])
    def test_the_listing_too(self, filled: Any, here: Settings, faults: Any, kind: str) -> None:
        faults.add(kind, times=1, to="list-type")
        assert mirror(filled).objects == 5
        assert not any(f.times for f in faults.plan)

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
        plain = downloading.download

        def late(client: Any, address: Any, stored: Any, target: Path) -> None:
            if stored.name == "cat/1.png":
                filled.put("pets/cat/1.png", b"changed")
            plain(client, address, stored, target)

        monkeypatch.setattr(mirroring, "download", late)
        with pytest.raises(DataError, match="changed while it was read; start the run again"):
            mirror(filled)

    def test_no_room(self, filled: Any, here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 10})
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(SynaugError, match="are free; make room, or set SYNAUG_HOME"):
            mirror(filled)
