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
@pytest.mark.parametrize("earlier", [1, 2])
def test_what_some_cores_made_others_find(
    earlier: int,
    tiny: Callable[..., dict[str, Any]],
    write: Callable[..., Path],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    tmp_path: Path,
) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("there is one core only")
    config = write(tiny(f"cores-{earlier}", seed=earlier, **SMALL, compute={"workers": None}))

    def run(count: int) -> Any:
        file = tmp_path / f"{count}.json"
        done = subprocess.run(
            command("run", config, "--json", file),
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=280,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:count]),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(file.read_text())

    made, found = run(earlier), run(3 - earlier)
    assert made["cached_steps"] == 0
    assert found["cached_steps"] == found["steps"] == made["steps"]
    assert (found["arms"], found["run_id"]) == (made["arms"], made["run_id"])
