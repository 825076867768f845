"""The flow's side of `flow_overhead`: everything as `synaug run` does it, the start of the embedded server apart."""

from __future__ import annotations

from typing import Any

from benchmarks.side_by_side import Stopwatch, serve
from synaug.cli import environment
from synaug.cli.failures import Session
from synaug_core.config import Config


def run(config: dict[str, Any]) -> dict[str, Any]:
    """One retraining by the flow; its figures by arm and metric."""
    from flows.retrain import run_retrain

    settings = Config.model_validate(config)
    with Stopwatch() as watch:
        outcome = run_retrain(settings)
    return {"seconds": watch.seconds, "arms": outcome.arms, "steps": outcome.steps, "cached": outcome.cached_steps}


if __name__ == "__main__":
    with environment.orchestrator(environment.prepare(Session())):
        serve({"run": run})
