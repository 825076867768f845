"""The process of a flow: libraries kept from the collector while a retraining runs, and memory that stays in it."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.process import libraries_aside, set_libraries_aside


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


_SCRIPT = """
import resource, sys
import torch
from flows.process import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
torch.ones(10**6)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(10**6)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variables")
def test_a_tensors_pages_are_not_fetched_again(root: Path) -> None:
    def faults(what: str) -> int:
        # as Dask starts its workers
        environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "PYTHONPATH": str(root)}
        line = [sys.executable, "-c", _SCRIPT, what]
        return int(subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout)

    pages = 4 * 10**6 // os.sysconf("SC_PAGE_SIZE")
    assert faults("as told") > 45 * pages
    assert faults("keep") < 15 * pages
