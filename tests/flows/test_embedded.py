"""The embedded Prefect server: answers, and never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from flows.embedded import ApiServer, api_server, wait_until_ready, without_heartbeats
from synaug_core.errors import DiskFullError, SynaugError, UserError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends a child with its parent, and has /proc"
)

HOLD = """
import os, sys, time
from pathlib import Path
from flows.embedded import api_server, wait_until_ready
with api_server(Path(sys.argv[1]) / "server.log", dict(os.environ)) as server:
    print(server.url, flush=True)
    if sys.argv[2] == "ready":
        wait_until_ready(server)
    print("so far", flush=True)
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


@pytest.fixture
def hold(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a process with a server."""
    started: list[subprocess.Popen[str]] = []

    def start(how_far: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-c", HOLD, str(tmp_path), how_far]
        started.append(subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_servers_die_with_parents_that_are_killed(hold: Callable[[str], subprocess.Popen[str]]) -> None:
    """One that has begun, then two at once on what that one left half made."""
    early = hold("started")
    assert said(early).startswith("http://127.0.0.1:")
    [server] = children(early.pid)
    early.send_signal(signal.SIGKILL)
    early.wait()
    assert gone(server)
    both = [hold("ready"), hold("ready")]
    urls = [said(process) for process in both]
    assert [said(process) for process in both] == ["so far", "so far"]
    for url in urls:
        with urllib.request.urlopen(f"{url}/admin/version", timeout=10) as answer:
            assert json.load(answer).startswith("3.")
    servers = [*children(both[0].pid), *children(both[1].pid)]
    assert len(servers) == 2
    for process in both:
        process.send_signal(signal.SIGKILL)
    assert all(gone(server) for server in servers)


def test_the_server_ends_with_the_block(environment: dict[str, str], tmp_path: Path) -> None:
    before = children(os.getpid())
    with api_server(tmp_path / "server.log", environment):
        [server] = children(os.getpid()) - before
    assert gone(server)


def test_a_server_that_does_not_come_up_is_named_with_its_log(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with (
        pytest.raises(SynaugError, match=r"did not start within 0 s; its log: .*server\.log"),
        api_server(log, environment) as server,
    ):
        wait_until_ready(server, timeout=0.1)
    broken = environment | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "no database"}
    with pytest.raises(SynaugError, match=r"ended with code \d+; its log: .*"), api_server(log, broken) as server:
        wait_until_ready(server, timeout=60)
    assert "Could not parse SQLAlchemy URL" in log.read_text()


def test_a_disk_that_takes_nothing_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set SYNAUG_HOME"), api_server(tmp_path / "file" / "server.log", environment):
        pass
    log = tmp_path / "server.log"
    log.write_text("database or disk is full\n")
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as ended:
        ended.wait()
    lock = FileLock(tmp_path / "server.lock")
    with pytest.raises(DiskFullError, match=f"no space left on the disk of {tmp_path}; make room there"):
        wait_until_ready(ApiServer("http://127.0.0.1:9/api", log, ended, lock, before=0))
    with pytest.raises(SynaugError, match="ended with code 3"):  # an earlier server said so
        wait_until_ready(ApiServer("http://127.0.0.1:9/api", log, ended, lock, before=log.stat().st_size))


def test_no_flow_waits_for_its_last_heartbeat(server: str, home: Path) -> None:
    from prefect import flow

    def heartbeats() -> list[str]:
        return [t.name for t in threading.enumerate() if "heartbeat" in repr(getattr(t, "_args", ""))]

    @flow
    def beating() -> bool:
        return bool(heartbeats())

    assert beating()
    with without_heartbeats():
        assert not beating()
