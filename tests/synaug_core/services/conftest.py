"""A real MLflow on an SQLite file of its own for each test; the tables are made once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from synaug_core.refs import RunRef
from synaug_core.services.clients import client
from synaug_core.services.settings import Settings, settings
from synaug_core.services.tracking import open_run


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    current = settings({"SYNAUG_HOME": str(home)})
    client(current)
    return home / "mlflow.db"


@pytest.fixture
def current(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The embedded default, in a folder whose name needs care."""
    home = tmp_path / "a home"
    home.mkdir()
    with (
        contextlib.closing(sqlite3.connect(empty_database)) as source,
        contextlib.closing(sqlite3.connect(home / "mlflow.db")) as target,
    ):
        source.backup(target)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME", "SYNAUG_ARTIFACT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYNAUG_HOME", str(home))
    return settings()


@pytest.fixture
def new_run(current: Settings) -> Callable[..., RunRef]:
    """Opens runs with little to say."""

    def make(key: str, parent: RunRef | None = None, stage: str = "retrain", **tags: str) -> RunRef:
        return open_run(
            current, experiment="synaug/test", key=key, stage=stage, name=key, parent=parent, tags=tags
        )

    return make
