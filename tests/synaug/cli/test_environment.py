from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synaug_core.services.settings import child_environment, settings
from tests.environments import without_services

HOLD = """
import time
from synaug.cli.environment import orchestrator
from synaug_core.services.settings import apply_environment, settings
apply_environment(settings())
with orchestrator(settings()):
    from tasks.engine.machine import server_slot
    with server_slot("gpu:one"):
        assert settings().own_prefect
        print("inside", flush=True)
        time.sleep({seconds})
assert not settings().own_prefect
assert settings().prefect_api_url is None
"""


def test_a_killed_run_takes_its_gpu_from_nobody(tmp_path: Path, root: Path) -> None:
    """With a Prefect server of each run's own, a slot that a killed one held would be taken for good."""
    environment = {**without_services(), "SYNAUG_HOME": str(tmp_path / "home"), "PYTHONPATH": str(root)}

    def hold(seconds: int) -> subprocess.Popen[str]:
        line = [sys.executable, "-c", HOLD.format(seconds=seconds)]
        return subprocess.Popen(line, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)

    with hold(600) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "inside\n"
        killed.send_signal(signal.SIGKILL)
    with hold(0) as after:
        try:
            said, _ = after.communicate(timeout=100)
        finally:
            after.kill()
    assert (said, after.returncode) == ("inside\n", 0)


def test_the_servers_of_the_ui_keep_leases(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of limits outlive their server, so what they stand for has to as well."""
    from synaug.cli import servers
    from synaug.cli.commands import ui

    kept: list[dict[str, str]] = []
    monkeypatch.setattr(servers, "start", lambda _name, _command, environment, **_: kept.append(environment))
    ui._prefect(settings(), 4200)
    code = "from prefect.server.concurrency import lease_storage as there"
    code += "; print(type(there.get_concurrency_lease_storage()).__module__)"
    child = {**child_environment(settings()), **kept[0]}
    done = subprocess.run([sys.executable, "-c", code], env=child, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "prefect.server.concurrency.lease_storage.filesystem", done.stderr
