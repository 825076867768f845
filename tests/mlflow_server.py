"""MLflow for tests: homes whose database has its tables already, and servers."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synaug_core.services.settings import Settings, settings
from tests.s3.swift import free_ports
from tests.waiting import answers, until


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite file, over one that is there."""
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


def embedded_home(home: Path, database: Path, patch: pytest.MonkeyPatch) -> Settings:
    """The embedded default in an empty folder with a copy of this database; the environment names no other place."""
    copy_database(database, home / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME", "SYNAUG_ARTIFACT_ROOT"):
        patch.delenv(name, raising=False)
    patch.setenv("SYNAUG_HOME", str(home))
    return settings()


@contextlib.contextmanager
def mlflow_server(folder: Path, *options: str, database: Path | None = None, **variables: str) -> Iterator[str]:
    """Start one that keeps its state in this folder, and end it with the block; yields its address.

    Args:
        folder: of this server alone.
        options: of `mlflow server`, such as where artifacts go.
        database: to begin with a copy of; else with an empty one.
        variables: further environment.
    """
    if database is not None:
        copy_database(database, folder / "mlflow.db")
    [port] = free_ports(1)
    address, log = f"http://127.0.0.1:{port}", folder / "mlflow.log"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", *options]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **quiet, **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=folder,
        )

    def said() -> str:
        return log.read_text(errors="replace")[-2000:]

    try:
        until(lambda: answers(f"{address}/health") or process.poll() is not None, 150, said, pause=0.3)
        assert process.poll() is None, said()
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
