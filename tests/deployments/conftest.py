from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.prefect_server import prefect_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server on an empty database, which this process uses meanwhile."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as address:
        yield address
