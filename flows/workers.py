"""How many steps run side by side."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from synaug_core.config import ComputeConfig
from tasks.machine import worker_count

__all__ = ["task_runner"]


def task_runner(compute: ComputeConfig) -> ThreadPoolTaskRunner[Any]:
    """Threads of this process: torch computes outside Python's lock, and images stay in shared memory."""
    return ThreadPoolTaskRunner(max_workers=worker_count(compute))
