"""How many steps run side by side."""

from __future__ import annotations

import os
from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from synaug_core.config import ComputeConfig
from tasks.machine import worker_count

__all__ = ["default_runner", "task_runner"]

Runner = TaskRunner[PrefectFuture[Any]]


def default_runner() -> Runner:
    """For runs that a server starts: one thread for each core. A GPU's slot makes its steps wait for each other."""
    return cast(Runner, ThreadPoolTaskRunner[Any](max_workers=os.cpu_count() or 1))


def task_runner(compute: ComputeConfig) -> Runner:
    """Threads of this process: torch computes outside Python's lock, and images stay in shared memory."""
    return cast(Runner, ThreadPoolTaskRunner[Any](max_workers=worker_count(compute)))
