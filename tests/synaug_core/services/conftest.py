"""A real MLflow on an SQLite file of its own for each test; the tables are made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from synaug_core.refs import RunRef
from synaug_core.services.clients import client
from synaug_core.services.settings import Settings, settings
from synaug_core.services.tracking import open_run
from tests.mlflow_server import embedded_home, mlflow_server


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
    return embedded_home(home, empty_database, monkeypatch)


@pytest.fixture
def embedded(current: Settings) -> Settings:
    """`current`, for tests of the registry: there a function has that name."""
    return current


@pytest.fixture
def new_run(current: Settings) -> Callable[..., RunRef]:
    """Opens runs with little to say."""

    def make(key: str, parent: RunRef | None = None, stage: str = "retrain", **tags: str) -> RunRef:
        return open_run(current, experiment="synaug/test", key=key, stage=stage, name=key, parent=parent, tags=tags)

    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be stored."""
    path = tmp_path / "local.bin"
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be stored."""
    path = tmp_path / "made"
    (path / "deep").mkdir(parents=True)
    (path / "spec.json").write_text("{}")
    (path / "deep" / "weights.bin").write_bytes(b"w" * 10)
    return path


@pytest.fixture(scope="session")
def _mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, "--artifacts-destination", str(folder / "store"), database=empty_database) as address:
        yield address


@pytest.fixture
def server(_mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A real tracking server that stores artifacts for its clients."""
    monkeypatch.setenv("SYNAUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _mlflow_server)
    return settings()
