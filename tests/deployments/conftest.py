from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flows.embedded import api_server, wait_until_ready
from synaug_core.services.settings import child_environment, settings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server on an empty database, which this process uses meanwhile."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_", "SYNAUG_"))}
    current = settings({"SYNAUG_HOME": str(home), "PREFECT_HOME": str(home)})
    started = {**child_environment(current), **kept, "PREFECT_HOME": str(home)}
    with api_server(home / "server.log", started) as running:
        wait_until_ready(running)
        with temporary_settings({PREFECT_API_URL: running.url, PREFECT_HOME: home}):
            yield running.url
