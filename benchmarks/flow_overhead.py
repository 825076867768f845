"""The flow against the same core calls without Prefect and MLflow: how much longer does it take? `make bench` runs it.

Both sides run the same configuration with a new seed in each round, so nothing is found in a cache; the flow's
embedded server is started before the clock. Their results are compared: equal figures mean equal work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Seconds, Worker, report, take_turns, worker
from synaug_core.config import Config
from synaug_core.config.load import load

__all__ = ["SERVICES"]

SERVICES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL", "PREFECT_HOME", "SYNAUG_TUNING_STORAGE")
_TINY = ["generator.steps=2", "classifier.steps=2", "repetitions=1", "tuning.trials=1"]


class _Side:
    """Runs the configuration with another seed each time, and remembers the figures."""

    def __init__(self, process: Worker, config: Config) -> None:
        self._process = process
        self._config = config
        self.arms: list[Any] = []

    def __call__(self) -> Seconds:
        config = self._config.model_copy(update={"seed": self._config.seed + len(self.arms)})
        answer = self._process.ask({"do": "run", "config": config.model_dump(mode="json")})
        if answer.get("cached"):
            raise RuntimeError(f"{answer['cached']} of the flow's steps were found in a cache: nothing was measured")
        self.arms.append(answer["arms"])
        return Seconds(*answer["seconds"])


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="synaug/cli/digits.yaml", help="what both sides run; default: the demo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one of its keys")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    config = load(options.config, options.set)
    tiny = load(options.config, [*options.set, *_TINY]).model_copy(update={"name": "warm-up"})
    python = Path(sys.executable)
    with (
        tempfile.TemporaryDirectory() as home,
        worker(python, "benchmarks.core.side", 1) as core,
        worker(python, "benchmarks.side_flow", 1, SYNAUG_HOME=home, **dict.fromkeys(SERVICES, "")) as flow,
    ):
        for process in (core, flow):
            _Side(process, tiny)()
        sides = _Side(core, config), _Side(flow, config)
        row = take_turns("one retraining", sides[0], sides[1], rounds=options.rounds, amount=3600, unit="runs/h")
    report("The flow's time over the core's", ("core alone", "flow"), [row], options.json, config=options.config)
    print(f"  seconds by round: core alone {_walls(row.own)}, flow {_walls(row.peer)}")
    print("  figures of both sides: " + ("equal" if sides[0].arms == sides[1].arms else "DIFFERENT"))


def _walls(rounds: list[Seconds]) -> str:
    return ", ".join(f"{seconds.wall:.1f}" for seconds in rounds)


if __name__ == "__main__":
    main()
