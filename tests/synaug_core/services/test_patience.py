"""Calls to MLflow and S3 that fail for a moment, for good, or only on the way back."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from synaug_core.errors import SynaugError
from synaug_core.services.mlflow import clients
from synaug_core.services.mlflow.clients import client, patiently
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.settings import Settings
from tests.s3.faults import between


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    "text",
    [
        "database is locked",
        "Connection broken: IncompleteRead(1 bytes read, 1 more expected)",
        'connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        "(XAmzContentSHA256Mismatch) when calling the PutObject operation",
    ],
)
def test_what_passes_is_tried_again(text: str) -> None:
    left = [RuntimeError(text)] * 8

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    assert patiently(call) == "done"


def test_what_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_OUTAGE", 0.05)
    with pytest.raises(RuntimeError, match="locked"):
        patiently(fail, "database is locked")
    with pytest.raises(RuntimeError, match="something else"):
        patiently(fail, "something else")


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("Caused by NewConnectionError('[Errno 111] Connection refused')", "does not answer any more"),
        ("Caused by ResponseError('too many 500 error responses')", "fails: its log says why"),
    ],
)
def test_a_server_that_was_asked_often_enough_is_named(
    cause: str, line: str, current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:5000")
    calls: list[str] = []

    def call() -> None:
        calls.append("")
        fail(f"API request failed: Max retries exceeded with url: /api/2.0/mlflow/runs/get ({cause})")

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


def fail(text: str) -> None:
    raise RuntimeError(text)
