"""A Prefect server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environments import without_services


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server on an empty database, started as the command does it; this process uses it."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from flows.embedded import api_server, wait_until_ready
    from synaug_core.services.settings import embedded_environment, settings

    home, kept = tmp_path_factory.mktemp("prefect"), without_services()
    current = settings({"SYNAUG_HOME": str(home), "PREFECT_HOME": str(home)})
    with api_server(home / "server.log", {**kept, **embedded_environment(current, kept)}) as running:
        wait_until_ready(running)
        changed = {PREFECT_API_URL: running.url, PREFECT_HOME: home, PREFECT_LOCAL_STORAGE_PATH: home / "storage"}
        with temporary_settings(changed):
            yield running.url
