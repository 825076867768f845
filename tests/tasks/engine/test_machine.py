"""One step at a time on a GPU: by lock files of a machine, and by limits of the server."""

from __future__ import annotations

import contextvars
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from prefect.client.orchestration import get_client

import tasks.engine.machine as slots
from synaug_core.config import ComputeConfig
from tasks.engine.machine import device_slot, server_slot
from tests.gauge import Seen


def side_by_side(number: int, slot: Callable[[], AbstractContextManager[Any]]) -> Seen:
    """So many threads, each in the slot for a moment."""
    seen = Seen()

    def work() -> None:
        with slot(), seen.inside():
            time.sleep(0.3)

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def _hold(path: Path, held: Any, release: Any) -> None:
    with slots._first_free([path]):
        held.set()
        release.wait(30)


def test_as_many_at_once_as_there_are_gpus(tmp_path: Path) -> None:
    locks = [tmp_path / "a.lock", tmp_path / "b.lock"]
    seen = side_by_side(5, lambda: slots._first_free(locks))
    assert (seen.most, seen.times) == (2, 5)


def test_a_gpu_that_another_process_holds_is_passed_over_until_it_dies(tmp_path: Path) -> None:
    locks = [tmp_path / "a.lock", tmp_path / "b.lock"]
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(locks[0], held, release))
    other.start()
    assert held.wait(30)
    with slots._first_free(locks) as number:
        assert number == 1
    other.kill()
    other.join()
    with slots._first_free(locks) as number:
        assert number == 0


def test_the_servers_limit_is_made_on_first_use_with_one_slot(server: str) -> None:
    seen = side_by_side(3, lambda: server_slot("gpu:test-one"))
    assert (seen.most, seen.times) == (1, 3)
    with get_client(sync_client=True) as client:
        found = client.read_global_concurrency_limit_by_name("gpu:test-one")
        assert (found.limit, found.active_slots) == (1, 0)
        client.update_global_concurrency_limit("gpu:test-one", _wider(2))
    assert side_by_side(3, lambda: server_slot("gpu:test-one")).most == 2


def _wider(limit: int) -> Any:
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    return GlobalConcurrencyLimitUpdate(limit=limit)


@pytest.mark.gpu
def test_on_a_gpu_one_step_after_the_other(server: str, home: Path) -> None:
    compute = ComputeConfig(device=f"cuda:{torch.cuda.device_count() - 1}")
    seen = side_by_side(3, lambda: device_slot(compute))
    assert (seen.most, seen.times) == (1, 3)
    with device_slot(ComputeConfig(device="cuda")) as device:
        assert device.index is not None
