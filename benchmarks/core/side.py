"""The bare computation's side of `flow_overhead`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.core.retraining import core_only
from benchmarks.side_by_side import Stopwatch, serve
from synaug_core.config import Config
from tasks.engine.machine import worker_count


def run(config: dict[str, Any]) -> dict[str, Any]:
    """One retraining's core calls; its figures by arm and metric."""
    settings = Config.model_validate(config)
    with tempfile.TemporaryDirectory() as folder, Stopwatch() as watch:
        comparison = core_only(settings, Path(folder), worker_count(settings.compute))
    arms = {arm: {f"test/{m}": i.model_dump() for m, i in r.metrics.items()} for arm, r in comparison.arms.items()}
    return {"seconds": watch.seconds, "arms": arms}


if __name__ == "__main__":
    serve({"run": run})
