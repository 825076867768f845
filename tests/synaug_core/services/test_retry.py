"""Calls to MLflow and S3 that fail for a moment, for good, or only on the way back."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import sqlite3
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import requests
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ResponseError

from synaug_core.errors import SynaugError
from synaug_core.services import retry
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.retry import patiently
from synaug_core.services.settings import Settings
from tests.s3.faults import between


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def locked() -> sqlite3.OperationalError:
    """What SQLite raises for a database that another connection is writing to."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        first, second = (sqlite3.connect(f"{folder}/a.db", timeout=0, isolation_level=None) for _ in range(2))
        stack.callback(first.close)
        stack.callback(second.close)
        first.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked") as caught:
            second.execute("BEGIN EXCLUSIVE")
    return caught.value


def wrapped(cause: BaseException) -> MlflowException:
    """As MLflow's stores raise what SQLAlchemy does."""
    error = MlflowException(str(cause), TEMPORARILY_UNAVAILABLE)
    error.__cause__ = OperationalError("SELECT 1", {}, cause)
    return error


def unreachable() -> psycopg.OperationalError:
    with pytest.raises(psycopg.OperationalError, match="failed: Connection refused") as caught:
        psycopg.connect("host=127.0.0.1 port=9 user=nobody dbname=none connect_timeout=2")
    return caught.value


def damaged() -> S3UploadFailedError:
    error = S3UploadFailedError("Failed to upload")
    answer: Any = {"Error": {"Code": "XAmzContentSHA256Mismatch", "Message": "other bytes"}}
    error.__context__ = ClientError(answer, "PutObject")
    return error


@pytest.mark.parametrize(
    "make",
    [
        locked,
        lambda: wrapped(locked()),
        lambda: wrapped(unreachable()),
        lambda: wrapped(psycopg.errors.AdminShutdown("terminating connection")),
        lambda: wrapped(psycopg.errors.DeadlockDetected("deadlock detected")),
        lambda: requests.exceptions.ChunkedEncodingError(
            ProtocolError("Connection broken", http.client.IncompleteRead(b"1", 1))
        ),
        damaged,
    ],
)
def test_what_passes_is_tried_again(make: Callable[[], Exception]) -> None:
    error = make()
    left = [error] * 8

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    assert patiently(call) == "done"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("database is locked"),
        wrapped(sqlite3.OperationalError("no such table: runs")),
        wrapped(psycopg.errors.DiskFull("no space left")),
        wrapped(psycopg.errors.UndefinedTable("no such table")),
    ],
)
def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        patiently(fail, error)
    assert caught.value is error


def test_what_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_OUTAGE", 0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        patiently(fail, locked())


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (NewConnectionError(None, "[Errno 111] Connection refused"), "does not answer any more"),  # type: ignore[arg-type]
        (ResponseError("too many 500 error responses"), "fails: its log says why"),
    ],
)
def test_a_server_that_was_asked_often_enough_is_named(
    reason: Exception, line: str, current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:5000")
    calls: list[str] = []

    def call() -> None:
        calls.append("")
        try:
            raise requests.ConnectionError(MaxRetryError(None, "/api/2.0/mlflow/runs/get", reason))  # type: ignore[arg-type]
        except requests.ConnectionError:
            raise MlflowException("API request failed")  # noqa: B904 - as MLflow does it

    with pytest.raises(SynaugError, match=line) as caught:
        patiently(call)
    assert len(calls) == 1
    assert "http://***@127.0.0.1:5000" in str(caught.value)


def test_a_run_whose_making_is_answered_by_nothing_is_one_run(
    server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with between(server.tracking_uri) as faults:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", faults.endpoint)
        there = dataclasses.replace(server, tracking_uri=faults.endpoint)
        parent = open_run(there, experiment="synaug/lost", key="parent", stage="retrain", name="parent")
        faults.add("lost", 1, "runs/create", "POST")
        run = open_run(there, experiment="synaug/lost", key="k", stage="step", name="step", parent=parent)
        assert not faults.plan[-1].times
        mlflow: Any = client(there)
        found = mlflow.search_runs([mlflow.get_experiment_by_name("synaug/lost").experiment_id])
        assert {r.info.run_id for r in found} == {parent.run_id, run.run_id}
        assert open_run(there, experiment="synaug/lost", key="k", stage="step", name="step", parent=parent) == run


def fail(error: Exception) -> None:
    raise error
