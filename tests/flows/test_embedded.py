"""The embedded Prefect server: answers, and never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from flows.embedded import api_server, wait_until_ready
from synaug_core.errors import SynaugError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends a child with its parent, and has /proc"
)

HOLD = """
import os, sys, time
from pathlib import Path
from flows.embedded import api_server
with api_server(Path(sys.argv[1]) / "server.log", dict(os.environ)) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def facts(pid: int | str) -> list[str]:
    """State and parent of a process, and more; empty where there is none or only what its parent has not yet read."""
    try:
        found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if found[0] == "Z" else found


def children(pid: int) -> set[int]:
    every = (int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal())
    return {p for p in every if facts(p)[1:2] == [str(pid)]}


def gone(pid: int, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while facts(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not facts(pid)


@pytest.fixture
def environment(tmp_path: Path, root: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTHONPATH"))}
    path = os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p)
    return {**kept, "PYTHONPATH": path, "PREFECT_HOME": str(tmp_path / "prefect"), "DO_NOT_TRACK": "true"}


@pytest.mark.parametrize("ready", [False, True])
def test_the_server_dies_with_a_parent_that_is_killed(environment: dict[str, str], tmp_path: Path, ready: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    [server] = children(parent.pid)
    if ready:
        wait_until_ready(url, tmp_path / "server.log")
        with urllib.request.urlopen(f"{url}/admin/version", timeout=10) as answer:
            assert json.load(answer).startswith("3.")
        assert url.startswith("http://127.0.0.1:")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(server)


def test_the_server_ends_with_the_block(environment: dict[str, str], tmp_path: Path) -> None:
    before = children(os.getpid())
    with api_server(tmp_path / "server.log", environment):
        [server] = children(os.getpid()) - before
    assert gone(server)


def test_a_server_that_does_not_come_up_is_named_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(SynaugError, match=r"did not start within 0 s; its log: .*server\.log"):
        wait_until_ready("http://127.0.0.1:9/api", log, timeout=0.3)
