"""The whole circle on a real server with a real worker: scheduled, checked, retrained, and failures reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Crashed

from deployments.apply import apply
from deployments.plan import QUEUE, Options
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.services.settings import embedded_environment, settings
from tests.environments import without_services
from tests.s3.swift import free_ports
from tests.waiting import answers, until

pytestmark = pytest.mark.slow

NAME = "circle"
SMALL: dict[str, Any] = {
    "name": NAME,
    "data": {
        "source": "digits",
        "classes": ["0", "1", "2"],
        "long_tail": 8,
        "image_size": 16,
        "duplicates": {"related": "pixels"},
    },
    "arms": ["original", "control", "combined"],
    "repetitions": 2,
    "generator": {"steps": 20, "evaluate_every": 10, "width": 8},
    "synthesis": {"filters": {"near_duplicates": None}},
    "classifier": {"steps": 20, "evaluate_every": 10, "width": 8},
    "tuning": {"trials": 0},
    "evaluation": {"resamples": 200},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
    "compute": {"workers": 1},
}


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, str]:
    home = tmp_path_factory.mktemp("circle") / "home"
    quick = {
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p),
    }
    current = settings({"SYNAUG_HOME": str(home)})
    home.mkdir()
    kept = without_services()
    return kept | quick | embedded_environment(current, kept)


@pytest.fixture(scope="module")
def address(environment: dict[str, str]) -> Iterator[str]:
    """A whole Prefect server: with its scheduler and its automations, without its pages."""
    home = Path(environment["SYNAUG_HOME"])
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}/api"
    command = ["prefect", "server", "start", "--no-ui", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, environment, home / "server.log") as process:
        until(lambda: answers(f"{address}/health") or process.poll() is not None, 150)
        assert process.poll() is None, (home / "server.log").read_text()[-3000:]
        with temporary_settings({PREFECT_API_URL: address, PREFECT_HOME: home / "prefect"}):
            yield address


def runs(flow: str, name: str = NAME, state: str | None = None) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])),
        )
    return [run for run in found if state is None or (run.state and run.state.name == state)]


def start(deployment: str, **parameters: Any) -> FlowRun:
    with get_client(sync_client=True) as client:
        number = client.read_deployment_by_name(deployment).id
        return client.create_flow_run_from_deployment(number, parameters=parameters)


def ended(run: FlowRun) -> Callable[[], Any]:
    def read() -> Any:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
        return state if state and state.is_final() else None

    return read


def put_names_in_the_way(folder: Path) -> None:
    """What people have in the folder that they deploy from, or start a worker in."""
    (folder / "flows").mkdir()
    (folder / "flows" / "__init__.py").write_text("raise RuntimeError('the wrong flows')")
    (folder / "tasks.py").write_text("raise RuntimeError('the wrong tasks')")


@pytest.mark.timeout(600)
def test_alarms_come_though_every_worker_trains(
    address: str, environment: dict[str, str], tmp_path: Path, receiver: tuple[str, list[str]]
) -> None:
    """The server's message needs no worker, the report only the one of its queue; another team deploys meanwhile."""
    url, taken = receiver
    block = CustomWebhookNotificationBlock(name="ops", url=url, method="POST", json_data={"text": "{{body}}"})
    block.save("ops", overwrite=True)
    variables = {"env": {"PYTHONPATH": environment["PYTHONPATH"]}}
    apply([(Config(name="alarmed"), None)], Options(notify="custom-webhook/ops", job_variables=variables))
    apply(
        [(Config(name="of-others"), None)], Options(job_variables={"env": {"SYNAUG_HOME": "/of/others"}, **variables})
    )
    failed = start("retrain/alarmed")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(failed.id, Crashed(message="postgresql://me:hunter2@host/db is away"), force=True)
    until(lambda: taken, 60)
    assert "ended as Crashed" in taken[0]
    assert "hunter2" not in taken[0]
    put_names_in_the_way(tmp_path)
    worker = ["prefect", "worker", "start", "--pool", "synaug", "--type", "process", "--work-queue", QUEUE]
    with running(worker, {**environment, "PREFECT_API_URL": address}, tmp_path / "worker.log"):
        until(lambda: runs("report-failure", "synaug", "Completed"), 200)
    assert len(taken) == 2
    assert "postgresql://***@host/db is away" in taken[1]
    assert not runs("retrain", "of-others")


@pytest.mark.timeout(1200)
def test_the_circle(address: str, environment: dict[str, str]) -> None:
    home = Path(environment["SYNAUG_HOME"])
    config = Config.model_validate(SMALL)
    sweep = SweepConfig(base=SMALL, grid={"seed": {"0": 0, "1": 1}})
    told = embedded_environment(settings({"SYNAUG_HOME": str(home)}), {})
    variables = {"env": {**told, "PYTHONPATH": environment["PYTHONPATH"]}}
    put_names_in_the_way(home)
    options = Options(check_cron="* * * * *", job_variables=variables)
    apply([(config, sweep)], options)
    worker = ["prefect", "worker", "start", "--pool", "synaug", "--type", "process"]
    with running(worker, {**environment, "PREFECT_API_URL": address}, home / "worker.log"):
        # The schedule starts the check, the check tells the server, the server starts the retraining.
        [check, *_] = until(lambda: runs("check-data", state="Changed"), 240)
        assert check.auto_scheduled
        [retraining] = until(lambda: runs("retrain", state="Running"), 120)
        assert retraining.created_by is not None

        # Meanwhile nothing else may train on these data: one clear state says why.
        for deployment in (f"retrain/{NAME}", f"sweep/{NAME}"):
            refused = until(ended(start(deployment)), 60)
            assert refused.is_cancelled()
            assert "concurrency limit" in refused.message

        state = until(ended(retraining), 400)
        assert state.is_completed(), (state, (home / "worker.log").read_text()[-3000:])
        [quiet, *_] = until(lambda: runs("check-data", state="NothingNew"), 150)
        assert quiet.state is not None
        assert quiet.state.message == f"nothing new: {NAME} was trained with these images"
        assert len(runs("retrain", state="Completed")) == 1

        # What fails is reported.
        broken = {**config.model_dump(mode="json"), "data": {"source": str(home / "nowhere")}}
        failed = start(f"retrain/{NAME}", config=broken)
        assert until(ended(failed), 200).is_failed()
        until(lambda: runs("report-failure", "synaug", "Completed"), 120)
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["failed-run"])))
        assert "data.source" in str(found[0].data)
