"""A step is told of under one name, from its first sign of progress to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import json
from synaug.cli import environment
from synaug.cli.failures import Session
from synaug_core.config import Config
from tasks.engine.progress_bus import subscribe

seen = []
with environment.orchestrator(environment.prepare(Session())):
    from flows.retrain import run_retrain
    subscribe(seen.append)
    few = {"steps": 4}
    run_retrain(Config.model_validate({
        "name": "x", "data": {"source": "digits", "classes": ["0", "1", "2"], "long_tail": 8},
        "generator": few, "classifier": few, "repetitions": 1, "tuning": {"trials": 1},
    }))
told = {(e.stage, e.name, e.state != "running") for e in seen if e.name}
print(json.dumps({"began": sorted(t[:2] for t in told if not t[2]), "ended": sorted(t[:2] for t in told if t[2])}))
"""


@pytest.mark.slow
def test_what_begins_under_a_name_ends_under_it(surroundings: dict[str, str], tmp_path: Path) -> None:
    environment = surroundings | {"SYNAUG_HOME": str(tmp_path / "home")}
    line = [sys.executable, "-c", _SCRIPT]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    began, ended = ({tuple(name) for name in found[key]} for key in ("began", "ended"))
    assert {stage for stage, _ in began} >= {"generator", "judge", "training", "tuning", "quality"}
    assert began <= ended
