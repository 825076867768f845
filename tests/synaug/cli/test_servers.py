from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from synaug.cli import servers
from synaug.cli.checks import run_checks
from synaug_core.errors import SynaugError
from synaug_core.services.settings import settings

Command = Callable[..., Any]


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((servers.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert servers.free_port(port) > port


def start(tmp_path: Path, code: str, port: int) -> Any:
    url = f"http://{servers.HOST}:{port}/"
    return servers.start(
        "a server", [sys.executable, "-c", code], dict(os.environ), url=url, health=url, log=tmp_path / "log"
    )


def test_a_server_ends_with_its_block_and_takes_its_children_along(tmp_path: Path) -> None:
    port = servers.free_port(18_000)
    code = (
        "import subprocess, sys, http.server; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(child.pid, flush=True); "
        "handler = http.server.SimpleHTTPRequestHandler; "
        f"http.server.ThreadingHTTPServer(('{servers.HOST}', {port}), handler).serve_forever()"
    )
    with start(tmp_path, code, port) as server:
        servers.wait_until_ready([server], timeout=30)
        child = int((tmp_path / "log").read_text().split()[0])
        os.kill(child, 0)
    assert server.process.poll() is not None
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_server_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    with (
        start(tmp_path, "print('boom'); raise SystemExit(3)", 18_999) as server,
        pytest.raises(SynaugError, match=r"a server ended with code 3; its log: .*log"),
    ):
        servers.wait_until_ready([server], timeout=30)
    assert servers.wait_for_any([server]) is server
    assert "boom" in (tmp_path / "log").read_text()


def test_a_server_that_does_not_answer_in_time(tmp_path: Path) -> None:
    with (
        start(tmp_path, "import time; time.sleep(60)", 18_999) as server,
        pytest.raises(SynaugError, match="did not answer within 0 s"),
    ):
        servers.wait_until_ready([server], timeout=0.3)


def test_who_waits_for_a_server_without_end_is_told_which_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_SAY_EVERY", 0.05)
    sayings: list[str] = []
    with (
        start(tmp_path, "import time; time.sleep(0.8); raise SystemExit(3)", 18_999) as server,
        pytest.raises(SynaugError, match="ended with code 3"),
    ):
        servers.wait_until_ready([server], timeout=None, notify=sayings.append)
    assert sayings[0] == f"{server.name} does not answer yet (0 s); its log: {server.log}"


def test_deploying_needs_a_server(synaug: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said = synaug("deploy", "digits")
    assert said.code == 2
    assert said.err.startswith("synaug: no Prefect server is configured; start one")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    said = synaug("deploy", "digits")
    assert said.code == 2
    assert said.err == "synaug: PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:9/api\n"
    monkeypatch.setenv("PREFECT_API_URL", "nonsense")
    assert "is not an address" in synaug("deploy", "digits").err


def test_a_check_says_how_to_mend(home: Path) -> None:
    home.parent.joinpath("file").touch()
    broken = settings({"SYNAUG_HOME": str(home.parent / "file" / "home")})
    found = {check.name: check for check in islice(run_checks(broken), 4)}
    assert list(found) == ["python", "libraries", "home", "disk"]
    assert found["libraries"].is_well, found["libraries"]
    assert not found["home"].is_well
    assert "SYNAUG_HOME" in found["home"].mend
