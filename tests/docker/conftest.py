"""A stack as a user has it, and what a test asks of its servers: over HTTP and S3, by none of the product's code."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.environments import without_services
from tests.stack_programs import require_stack_programs
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Servers:
    """The servers of a stack, seen by a client.

    Attributes:
        home: the stack's folder.
        desk: where the client works; its SYNAUG_HOME is the folder `home` there.
        environment: the client's.
    """

    home: Path
    desk: Path
    environment: Mapping[str, str]

    def run(self, *command: str) -> str:
        """What a command of the client says."""
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=dict(self.environment),
            cwd=self.desk,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        """The end of a service's log."""
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")[-4000:]

    def prefect(self, path: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """Prefect's answer."""
        address, login = self.environment["PREFECT_API_URL"], self.environment["PREFECT_API_AUTH_STRING"]
        return ask(f"{address}/{path}", login, body, method)

    def mlflow(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """MLflow's answer to its user `worker`."""
        address, secret = self.environment["MLFLOW_TRACKING_URI"], self.environment["MLFLOW_TRACKING_PASSWORD"]
        return ask(f"{address}/api/2.0/mlflow/{path}", f"worker:{secret}", body)

    def s3(self) -> Any:
        """A client of the S3 server."""
        import boto3

        given = self.environment
        return boto3.client(
            "s3",
            endpoint_url=given["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name=given["AWS_DEFAULT_REGION"],
        )

    def objects(self) -> dict[str, int]:
        """Every object of the bucket: its size."""
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket="synaug")
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """Every MLflow run of an experiment, its tags, metrics and parameters as dictionaries."""
        found = self.mlflow(f"experiments/get-by-name?experiment_name={experiment}")
        if isinstance(found, int):
            return []
        number = found["experiment"]["experiment_id"]
        answer = self.mlflow("runs/search", {"experiment_ids": [number], "max_results": 5000})
        assert "next_page_token" not in answer
        return [_flat(run) for run in answer.get("runs", ())]

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment such as retrain/tiny."""
        found: dict[str, Any] = self.prefect(f"deployments/name/{name}")
        return found

    def flow_runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that are more than foreseen by a schedule."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}, "limit": 200}
        found = self.prefect("flow_runs/filter", wanted)
        return [run for run in found if not (run["auto_scheduled"] and run["state"]["type"] == "SCHEDULED")]

    def ended(self, flow_run: str, seconds: float = 600) -> dict[str, Any]:
        """The last state of a run."""
        state: dict[str, Any] = until(lambda: self._end(flow_run), seconds, lambda: self._about(flow_run))
        return state

    def _end(self, flow_run: str) -> dict[str, Any] | None:
        state: dict[str, Any] = self.prefect(f"flow_runs/{flow_run}")["state"]
        return state if state["type"] in ENDED else None

    def _about(self, flow_run: str) -> str:
        state = self.prefect(f"flow_runs/{flow_run}")["state"]
        logs = sorted((self.home / "logs").glob("worker*.log"))
        return f"{state['type']}: {state['message']}\n" + "\n".join(self.log(log.stem) for log in logs)


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    data = run["data"]
    pairs = {kind: {x["key"]: x["value"] for x in data.get(kind, ())} for kind in ("tags", "metrics", "params")}
    inputs = run.get("inputs", {}).get("dataset_inputs", ())
    return {**run["info"], **pairs, "stage": pairs["tags"].get("synaug.stage"), "datasets": list(inputs)}


def ask(address: str, login: str = "", body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
    """The answer of a server, or the code of its refusal."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=content, method=method)
    request.add_header("Content-Type", "application/json")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="session")
def knock() -> Callable[..., Any]:
    """`ask`: for who comes without the client's passwords."""
    return ask


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """`until`."""
    return until


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder for a stack; skips, or fails in CI, where the programs are missing."""
    require_stack_programs()
    # Not pytest's folder, which is root's alone where root runs this: PostgreSQL then runs as another user.
    with tempfile.TemporaryDirectory(prefix="synaug-stack-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def surroundings() -> dict[str, str]:
    """The environment without services of the user's own."""
    return without_services() | {"NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def stack_process(place: Path, surroundings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`make stack`, ready."""
    command = [sys.executable, "-m", "scripts.stack", "up", "--home", str(place / "stack")]
    command += ["--mlflow-port", "25000", "--prefect-port", "24200"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        shown = []
        assert process.stdout is not None
        for line in process.stdout:
            shown.append(line)
            if line.startswith("Ctrl-C"):
                break
        if not "".join(shown[-1:]).startswith("Ctrl-C"):
            logs = sorted((place / "stack" / "logs").glob("*.log"))
            ends = [f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}" for log in logs]
            pytest.fail("\n".join(["the stack did not start", "".join(shown), *ends]), pytrace=False)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
        subprocess.run([*command[:3], "down", "--home", str(place / "stack")], cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def started(stack_process: subprocess.Popen[str]) -> None:
    """A stack runs in `place`; a module may start its own in another way."""


@pytest.fixture(scope="module")
def servers(place: Path, surroundings: dict[str, str], started: None) -> Servers:
    """The servers of the stack in `place`."""
    lines = (place / "stack" / "client.env").read_text().splitlines()
    own = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    desk = place / "desk"
    desk.mkdir()
    return Servers(place / "stack", desk, {**surroundings, **own, "SYNAUG_HOME": str(desk / "home")})
