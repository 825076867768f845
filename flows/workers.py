"""How many steps run side by side."""

from __future__ import annotations

from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from synaug_core.config import ComputeConfig
from tasks.machine import worker_count

__all__ = ["task_runner"]

Runner = TaskRunner[PrefectFuture[Any]]


def task_runner(compute: ComputeConfig) -> Runner:
    """Threads of this process: torch computes outside Python's lock, and images stay in shared memory."""
    return cast(Runner, ThreadPoolTaskRunner[Any](max_workers=worker_count(compute)))
