"""A real MLflow on an SQLite file of its own for each test; the tables are made once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
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
    path.write_bytes(os.urandom(100_000))
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{empty_database}", "--artifacts-destination", str(folder / "store")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, folder / "log")
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 150.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
            return
        time.sleep(0.3)
    raise RuntimeError(f"no MLflow server: {log.read_text()[-2000:]}")


@pytest.fixture
def server(_mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A real tracking server that stores artifacts for its clients."""
    monkeypatch.setenv("SYNAUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _mlflow_server)
    return settings()
