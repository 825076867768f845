"""The flow on two Dask workers against one, each with one thread: how much faster, and are the numbers equal?

    python -m benchmarks.dask_scale

Both sides make the same steps of the same configuration, each in a home of its own, in turns; a round has a new seed,
so that nothing is found in a cache. Starting servers, clusters and libraries lies before the clock. What stays on it
is the flow as a user runs it, its records in MLflow and Prefect included. Ends with 1 where the numbers differ, or the
ratio is below `--least`. Wants a machine with two idle cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dask.config
from distributed import LocalCluster

from benchmarks.side_by_side import Worker, worker
from flows.dask_runner import LONG_STEPS
from synaug_core.config import Config
from synaug_core.services.settings import embedded_environment, settings

_OWN = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL", "PREFECT_HOME", "SYNAUG_TUNING_STORAGE")
WORK: dict[str, Any] = {
    "name": "scale",
    "data": {"source": "digits", "long_tail": 8, "image_size": 16},
    "repetitions": 4,
    "generator": {"steps": 300, "evaluate_every": 100, "augment": "none"},
    "classifier": {"steps": 1250, "evaluate_every": 250, "patience": 10_000},
    "tuning": {"trials": 2, "parallel": 2, "pruner": "none"},
    "evaluation": {"resamples": 500},
    "robustness": {"perturbations": ["noise"], "attacks": ["fgsm"], "eps": [4], "images": 60, "repetitions": 1},
    "explanation": {"images": 2},
}
"""Six arms, four repetitions (two fewer than by default), ten classes: 24 trainings of some five seconds."""
TINY: dict[str, Any] = {
    **WORK,
    "name": "warm-up",
    "repetitions": 2,
    "generator": {"steps": 2, "augment": "none"},
    "classifier": {"steps": 2},
    "tuning": {"trials": 1},
}


class Side:
    """The flow on a cluster of so many workers."""

    def __init__(self, process: Worker) -> None:
        self._process = process
        self._compute = {"device": "cpu", "threads": 1, "workers": 2, "runner": "dask"}
        self.walls: list[float] = []
        self.found: list[Any] = []

    def run(self, config: dict[str, Any], seed: int) -> dict[str, Any]:
        """One retraining. `workers` is 2 on both sides: they make the same steps."""
        requested = Config.model_validate({**config, "seed": seed, "compute": self._compute})
        return self._process.ask({"do": "run", "config": requested.model_dump(mode="json")})

    def measure(self, config: dict[str, Any], seed: int) -> None:
        """One retraining, with its wall time and its numbers kept."""
        answer = self.run(config, seed)
        if answer["cached"]:
            raise RuntimeError(f"{answer['cached']} steps were found in a cache: nothing was measured")
        self.walls.append(answer["seconds"][0])
        self.found.append({"arms": answer["arms"], "steps": answer["steps"]})


@contextlib.contextmanager
def side(workers: int) -> Iterator[Side]:
    """A home, a cluster and a process that runs the flow on it; libraries are loaded in all of them."""
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as running:
        closed = dict.fromkeys(_OWN, "")
        variables = {"SYNAUG_HOME": home, "OMP_NUM_THREADS": "1", **closed}
        environment = {
            **embedded_environment(settings({"SYNAUG_HOME": home}), {}),
            **variables,
            "MLFLOW_TRACKING_URI": "",
        }
        running.enter_context(dask.config.set(LONG_STEPS))
        cluster = running.enter_context(
            cast(Any, LocalCluster)(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                memory_limit=None,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                env=environment,
            )
        )
        variables["SYNAUG_DASK_SCHEDULER"] = cluster.scheduler_address
        side = Side(running.enter_context(worker(Path(sys.executable), "benchmarks.side_flow", 1, **variables)))
        side.run(TINY, 0)  # more steps than workers: each loads its libraries
        yield side


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--least", type=float, default=1.6, help="ratio below which it ends with 1")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    config = WORK if options.steps is None else {**WORK, "classifier": {**WORK["classifier"], "steps": options.steps}}
    with side(1) as one_worker, side(2) as two_workers:
        for seed in range(100, 100 + options.rounds):
            for turn in (one_worker, two_workers) if seed % 2 == 0 else (two_workers, one_worker):
                turn.measure(config, seed)
    ratios = [a / b for a, b in zip(one_worker.walls, two_workers.walls, strict=True)]
    ratio, equal = statistics.median(ratios), one_worker.found == two_workers.found
    print(f"one worker  {_shown(one_worker.walls)}\ntwo workers {_shown(two_workers.walls)}")
    print(f"{one_worker.found[0]['steps']} steps; numbers of all arms {'equal' if equal else 'DIFFERENT'}")
    print(f"two workers are {ratio:.2f} times as fast as one (load of the machine: {os.getloadavg()[0]:.1f})")
    if options.json is not None:
        figures = {
            "one": one_worker.walls,
            "two": two_workers.walls,
            "ratio": ratio,
            "equal": equal,
            "cpus": os.cpu_count(),
        }
        options.json.write_text(json.dumps({**figures, "when": time.strftime("%Y-%m-%d")}, indent=2))
    sys.exit(0 if equal and ratio >= options.least else 1)


def _shown(walls: list[float]) -> str:
    return ", ".join(f"{seconds:.1f} s" for seconds in walls)


if __name__ == "__main__":
    main()
