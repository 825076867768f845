from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synaug_core.errors import SynaugError
from synaug_core.services.locks import exclusive


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
