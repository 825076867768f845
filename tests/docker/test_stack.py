"""The native stack as a user has it: started, deployed to, its worker at work, stopped by Ctrl-C."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TINY = """
name: tiny
data: {source: digits, classes: ["0", "1", "2"], long_tail: 8, image_size: 16}
arms: [original, combined]
repetitions: 2
generator: {steps: 20, evaluate_every: 10, width: 8}
synthesis: {filters: {near_duplicates: null}}
classifier: {steps: 20, evaluate_every: 10, width: 8}
tuning: {trials: 2, steps: 10}
evaluation: {resamples: 200}
robustness: {enabled: false}
explanation: {enabled: false}
compute: {workers: 1}
"""


@dataclass
class Running:
    """A stack in a process of its own."""

    home: Path
    process: subprocess.Popen[str]
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text()[-4000:]


@pytest.fixture(scope="module")
def stack() -> Iterator[Running]:
    pytest.importorskip("psycopg")
    pytest.importorskip("flask_wtf")
    if not (ROOT / ".venv-swift" / "bin" / "swift-proxy-server").exists():
        pytest.skip("no S3 server: `make .venv-swift/.ready` installs it")
    from scripts.stack import postgres
    from synaug_core.errors import UserError

    try:
        postgres.binaries()
    except UserError as error:
        pytest.skip(str(error))
    # Not pytest's folder, which is root's alone where root runs this: PostgreSQL then runs as another user.
    with tempfile.TemporaryDirectory(prefix="synaug-stack-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "stack"
        theirs = ("AWS_", "MLFLOW_", "PREFECT_", "SYNAUG_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
        environment |= {"NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "scripts.stack", "up", "--home", str(home)]
        command += ["--mlflow-port", "25000", "--prefect-port", "24200"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            shown = []
            assert process.stdout is not None
            for line in process.stdout:
                shown.append(line)
                if line.startswith("Ctrl-C"):
                    break
            assert "".join(shown[-1:]).startswith("Ctrl-C"), "".join(shown)
            lines = (home / "client.env").read_text().splitlines()
            own = dict(shlex.split(line)[1].split("=", 1) for line in lines)
            yield Running(home, process, {**environment, **own, "SYNAUG_HOME": str(home / "client")})
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
            subprocess.run([sys.executable, "-m", "scripts.stack", "down", "--home", str(home)], cwd=ROOT, check=False)


def ask(address: str, login: str = "", body: dict[str, Any] | None = None) -> Any:
    """The answer of a server, or the code of its refusal."""
    request = urllib.request.Request(address, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code


def test_the_whole_circle(stack: Running) -> None:
    given = stack.environment
    mlflow, prefect = given["MLFLOW_TRACKING_URI"], given["PREFECT_API_URL"]
    search = f"{mlflow}/api/2.0/mlflow/registered-models/search"
    worker = f"worker:{given['MLFLOW_TRACKING_PASSWORD']}"

    # Nobody in without a password.
    assert [ask(search), ask(search, "worker:wrong"), ask(search, "admin:password1234")] == [401, 401, 401]
    assert ask(f"{prefect}/flow_runs/filter", body={}) == 401
    assert ask(f"{prefect}/flow_runs/filter", "admin:wrong", {}) == 401
    assert ask(search, worker) == {}

    (stack.home / "tiny.yaml").write_text(TINY)
    said = stack.run("synaug", "deploy", "tiny.yaml")
    assert "made      deployment retrain/tiny" in said
    assert "unchanged work pool synaug" in said
    stack.run("prefect", "deployment", "run", "retrain/tiny")
    state = ended(stack, prefect)
    assert state["type"] == "COMPLETED", (state, stack.log("worker"))

    import boto3
    import psycopg

    client = boto3.client(
        "s3",
        endpoint_url=given["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name=given["AWS_DEFAULT_REGION"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="synaug")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    [model] = ask(search, worker)["registered_models"]
    assert model["name"] == "synaug-tiny"
    [version] = model["latest_versions"]
    assert version["status"] == "READY"
    run = version["run_id"]
    assert any(key.startswith("mlflow/") and f"/{run}/" in key for key in keys), keys[:20]
    assert any(key.startswith("prefect/") for key in keys)
    experiments = f"{mlflow}/api/2.0/mlflow/experiments/search"
    found = {e["name"]: e for e in ask(experiments, worker, {"max_results": 100})["experiments"]}
    runs = ask(
        f"{mlflow}/api/2.0/mlflow/runs/search",
        worker,
        {"experiment_ids": [e["experiment_id"] for e in found.values()], "max_results": 500},
    )["runs"]
    assert runs
    assert {r["info"]["status"] for r in runs} == {"FINISHED"}
    assert all(r["info"]["artifact_uri"].startswith("mlflow-artifacts:") for r in runs)

    # Trials are in PostgreSQL, and that role sees no other's database.
    address = given["SYNAUG_TUNING_STORAGE"].replace("+psycopg", "")
    with psycopg.connect(address, password=given["PGPASSWORD"]) as connection:
        [(trials,)] = connection.execute("SELECT count(*) FROM trials").fetchall()
    assert trials >= 2
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(address.removesuffix("tuning") + "mlflow", password=given["PGPASSWORD"])

    # No secret in a log, on a command line, or in the worker's folder's names.
    secrets = [(p.name, p.read_text()) for p in (stack.home / "secrets").iterdir() if p.name != "s3_access"]
    logs = {p.name: p.read_text(errors="replace") for p in (stack.home / "logs").iterdir()}
    assert [(name, log) for name, value in secrets for log, text in logs.items() if value in text] == []
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [name for name, value in secrets if value in commands] == []

    # Ctrl-C ends everything in order.
    pids = [int(p.read_text()) for p in (stack.home / "pids").iterdir()]
    assert len(pids) == 4
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(90) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def ended(stack: Running, prefect: str) -> dict[str, Any]:
    """The last state of the retraining."""
    login = stack.environment["PREFECT_API_AUTH_STRING"]
    wanted = {"flows": {"name": {"any_": ["retrain"]}}}
    end = time.monotonic() + 900
    while time.monotonic() < end:
        [run] = ask(f"{prefect}/flow_runs/filter", login, wanted)
        if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            state: dict[str, Any] = run["state"]
            return state
        time.sleep(3)
    raise AssertionError(f"the run did not end: {stack.log('worker')}")
