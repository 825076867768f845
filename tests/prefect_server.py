"""A Prefect server of the tests' own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.embedded import api_server, wait_until_ready
from synaug_core.services.settings import child_environment, settings


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Start one as the command does, on an empty database, and let this process use it; yields its address."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_", "SYNAUG_"))}
    current = settings({"SYNAUG_HOME": str(home), "PREFECT_HOME": str(home)})
    started = {**child_environment(current), **kept, "PREFECT_HOME": str(home)}
    with api_server(home / "server.log", started) as running:
        wait_until_ready(running)
        changed = {PREFECT_API_URL: running.url, PREFECT_HOME: home, PREFECT_LOCAL_STORAGE_PATH: home / "storage"}
        with temporary_settings(changed):
            yield running.url
