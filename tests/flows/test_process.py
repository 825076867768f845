"""The process of a flow: libraries kept from the collector while a retraining runs, and memory that stays in it."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import process
from flows.process import as_text, dated, libraries_aside, set_libraries_aside


def looked_at(thing: list[int]) -> bool:
    """Whether the collector looks at it; what is set aside it does not even list."""
    return any(other is thing for other in gc.get_objects())


def test_what_there_is_is_set_aside_within_the_block_alone() -> None:
    before: list[int] = []
    assert looked_at(before)
    with contextlib.suppress(KeyboardInterrupt), libraries_aside():
        later: list[int] = []
        assert not looked_at(before)
        assert looked_at(later)
        set_libraries_aside()
        with libraries_aside():
            pass
        assert not looked_at(later), "the inner block's end undoes nothing"
        raise KeyboardInterrupt
    assert looked_at(before)
    assert looked_at(later)


def test_runs_of_flows_are_named_after_their_parameters_and_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"config": SimpleNamespace(name="wbc {x}"), "version": "3"}
    monkeypatch.setattr(process, "flow_run", SimpleNamespace(parameters=parameters))
    minute = r" \d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.fullmatch(
        r"wbc \{x\}, a = \{1\} 3" + minute, dated(f"{{config.name}}, {as_text('a = {1}')} {{version}}")()
    )


_SCRIPT = """
import resource, sys, threading
import torch
from flows.process import keep_freed_memory
def step():
    return [torch.ones(750_000) for _ in range(8)] and None
def work():
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
if sys.argv[1] == "keep":
    keep_freed_memory()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variables")
def test_a_tensors_pages_are_not_fetched_again(root: Path) -> None:
    def faults(what: str, threshold: str = "65536") -> int:
        """As Dask starts its workers, unless another threshold is asked for."""
        environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": threshold, "PYTHONPATH": str(root)}
        line = [sys.executable, "-c", _SCRIPT, what]
        return int(subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout)

    pages = 50 * 8 * 4 * 750_000 // os.sysconf("SC_PAGE_SIZE")
    assert faults("as it is") > 0.9 * pages
    assert faults("keep") < 0.1 * pages
    assert faults("keep", "70000") > 0.9 * pages, "the user's own choice"
