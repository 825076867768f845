"""Memory of freed tensors: kept in the process, whatever its variables said when it started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import resource, sys
import torch
from flows.memory import keep_freed_memory
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
