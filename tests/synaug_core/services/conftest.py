"""Runs, files and a real tracking server for tests of the services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from synaug_core.refs import RunRef
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.settings import Settings, settings
from tests.mlflow_server import mlflow_server


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
