"""How a retraining is spread is no part of what it is: what some cores made, any other number of them finds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL: dict[str, Any] = {
    "data": {"classes": [0, 1, 2, 3]},
    "arms": ["original", "combined"],
    "repetitions": 1,
    "tuning": {"trials": 0},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be held to some cores here")
@pytest.mark.parametrize("first", [1, 2])
def test_what_some_cores_made_others_find(
    first: int,
    tiny: Callable[..., dict[str, Any]],
    write: Callable[..., Path],
    retrain: Callable[..., Any],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    tmp_path: Path,
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core only")
    config = tiny(f"cores-{first}", seed=first, **SMALL, compute={"workers": None})

    def run_on_one_core() -> Any:
        file = tmp_path / "outcome.json"
        done = subprocess.run(
            command("run", write(config), "--json", file),
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=280,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(file.read_text())

    def run_on_all_cores() -> Any:
        return retrain(config).outcome

    order = (run_on_one_core, run_on_all_cores) if first == 1 else (run_on_all_cores, run_on_one_core)
    earlier, later = (run() for run in order)
    assert earlier["cached_steps"] == 0
    assert later["cached_steps"] == later["steps"] == earlier["steps"]
    assert (later["arms"], later["run_id"]) == (earlier["arms"], earlier["run_id"])
