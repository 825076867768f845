from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synaug_core.errors import DiskFullError, SynaugError, UserError
from synaug_core.services.locks import exclusive
from tests.disks import full_disk


def test_one_at_a_time(tmp_path: Path):
    inside, most = 0, 0
    guard = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with exclusive(tmp_path / "locks" / "a.lock"):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with guard:
                inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == 1


def test_a_lock_that_is_held_is_named(tmp_path: Path):
    second = exclusive(tmp_path / "a.lock", timeout=0.05)
    with exclusive(tmp_path / "a.lock"), pytest.raises(SynaugError, match=r"a\.lock is held"):
        second.__enter__()


def test_only_a_lock_that_is_held_is_called_so(tmp_path: Path):
    (tmp_path / "a.lock").write_text("no lock, but long enough to be taken for a database" * 20)
    with pytest.raises(SynaugError, match=r"a\.lock cannot be locked \(file is not a database\)"):
        exclusive(tmp_path / "a.lock").__enter__()
    with pytest.raises(UserError, match="not a directory; set SYNAUG_HOME"):
        exclusive(tmp_path / "a.lock" / "locks" / "b.lock").__enter__()
    with full_disk(tmp_path / "full"), pytest.raises(DiskFullError, match=r"no space left on the disk of .*full"):
        exclusive(tmp_path / "full" / "c.lock").__enter__()
