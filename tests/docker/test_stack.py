"""The stack from its start to Ctrl-C: a schedule starts a retraining, and everything it leaves is where it belongs."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(1500)]

CLASSES = ("0", "1", "2")
ARMS = ("original", "combined")
REPETITIONS = 2
TINY = f"""
name: tiny
data: {{source: digits, classes: {json.dumps(CLASSES)}, long_tail: 8, image_size: 16, duplicates: {{related: pixels}}}}
arms: [{", ".join(ARMS)}]
repetitions: {REPETITIONS}
generator: {{steps: 20, evaluate_every: 10, width: 8}}
synthesis: {{filters: {{near_duplicates: null}}}}
classifier: {{steps: 20, evaluate_every: 10, width: 8}}
tuning: {{trials: 2, steps: 10}}
evaluation: {{resamples: 200}}
robustness: {{enabled: false}}
explanation: {{enabled: false}}
compute: {{workers: 1}}
"""


@pytest.fixture(scope="module")
def flow_run(servers: Any, wait: Callable[..., Any]) -> dict[str, Any]:
    """The run that the schedule started, ended well."""
    (servers.desk / "tiny.yaml").write_text(TINY)
    said = servers.run("synaug", "deploy", "tiny.yaml", "--cron", "* * * * *")
    assert "made      deployment retrain/tiny, runs at '* * * * *' (UTC)" in said
    assert "unchanged work pool synaug" in said
    [first, *_] = wait(lambda: servers.flow_runs("retrain/tiny"), 180, lambda: servers.log("worker"))
    number = servers.deployment("retrain/tiny")["id"]
    servers.prefect(f"deployments/{number}/pause_deployment", {})  # what the next minutes foresee goes
    state = servers.ended(first["id"])
    assert state["type"] == "COMPLETED", (state, servers.log("worker"))
    [found] = servers.flow_runs("retrain/tiny")
    ended: dict[str, Any] = found
    return ended


@pytest.fixture(scope="module")
def runs(servers: Any, flow_run: dict[str, Any]) -> list[dict[str, Any]]:
    """What MLflow has of it."""
    found: list[dict[str, Any]] = servers.runs("synaug/tiny")
    return found


@pytest.fixture(scope="module")
def objects(servers: Any, flow_run: dict[str, Any]) -> dict[str, int]:
    """Every object in S3: its size."""
    found: dict[str, int] = servers.objects()
    return found


def test_nobody_in_without_a_password(servers: Any, knock: Callable[..., Any]) -> None:
    given = servers.environment
    search = f"{given['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/registered-models/search"
    files = f"{given['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts?path=1"
    assert [knock(search, who) for who in ("", "worker:wrong", "admin:password1234")] == [401, 401, 401]
    assert knock(files) == 401
    flow_runs = f"{given['PREFECT_API_URL']}/flow_runs/filter"
    assert [knock(flow_runs, who, {}) for who in ("", "admin:wrong")] == [401, 401]


def test_the_schedule_started_it(servers: Any, flow_run: dict[str, Any]) -> None:
    assert flow_run["auto_scheduled"] is True
    assert flow_run["created_by"]["type"] == "SCHEDULE"
    wanted = dt.datetime.fromisoformat(flow_run["expected_start_time"])
    assert (wanted.second, wanted.microsecond) == (0, 0)
    assert flow_run["work_pool_name"] == "synaug"
    assert flow_run["id"] in (servers.home / "logs" / "worker.log").read_text()


def test_mlflow_has_every_run(flow_run: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert all(run["artifact_uri"].startswith("mlflow-artifacts:/") for run in runs)
    of = {stage: [run for run in runs if run["stage"] == stage] for stage in {run["stage"] for run in runs}}
    [parent] = of["retrain"]
    assert parent["tags"]["prefect.flow_run_id"] == flow_run["id"]
    assert parent["tags"]["synaug.verdict"] in ("gain", "no gain shown")
    assert parent["tags"]["synaug.best_arm"] in ARMS
    known = {run["run_id"] for run in runs}
    assert {run["tags"].get("mlflow.parentRunId") for run in runs} <= known | {None}
    assert [run["run_id"] for run in runs if "mlflow.parentRunId" not in run["tags"]] == [parent["run_id"]]

    arms = {run["tags"]["synaug.arm"]: run for run in of["arm"]}
    assert set(arms) == set(ARMS)
    for arm in arms.values():
        assert {f"test/class/{c}/{m}{end}" for c in CLASSES for m in ("recall", "support") for end in ("", "/low")} <= (
            set(arm["metrics"])
        )
        low, mean, high = (arm["metrics"][f"test/balanced_accuracy{end}"] for end in ("/low", "", "/high"))
        assert 0 <= low <= mean <= high <= 1
        below = [run for run in of["repetition"] if run["tags"]["mlflow.parentRunId"] == arm["run_id"]]
        assert len({run["tags"]["synaug.seed"] for run in below}) == len(below) == REPETITIONS
        assert all(f"test/class/{c}/recall" in run["metrics"] for run in below for c in CLASSES)
    assert len(of["trial"]) == 4, "two of a part of the steps, and then of all"
    [dataset] = of["dataset"]
    assert names(dataset) == {"tiny-train": "train", "tiny-val": "val", "tiny-test": "test"}
    assert of["synthesis"]
    assert all(names(run) == {"tiny-synthetic": "synthetic"} for run in of["synthesis"])


def names(run: Mapping[str, Any]) -> dict[str, str]:
    """The data sets of a run: for what each was used."""
    return {one["dataset"]["name"]: one["tags"][0]["value"] for one in run["datasets"]}


def test_every_artifact_is_in_s3(servers: Any, runs: list[dict[str, Any]], objects: dict[str, int]) -> None:
    listed = {}
    for run in runs:
        for path, size in artifacts(servers, f"artifacts/list?run_id={run['run_id']}"):
            listed[f"{place(run)}/{path}"] = size
    for run in (run for run in runs if run["stage"] == "repetition"):
        assert {"classifier/weights.safetensors", "classifier/spec.json"} <= {
            key.removeprefix(f"{place(run)}/") for key in listed
        }
    numbers = sorted({run["experiment_id"] for run in runs})
    models = servers.mlflow("logged-models/search", {"experiment_ids": numbers})["models"]
    assert {model["info"]["status"] for model in models} == {"LOGGED_MODEL_READY"}
    for model in models:
        where = f"logged-models/{model['info']['model_id']}/artifacts/directories"
        for path, size in artifacts(servers, where, "artifact_directory_path"):
            listed[f"{place(model['info'])}/{path}"] = size
    [model] = models
    code = [key for key in listed if key.startswith(f"{place(model['info'])}/code/")]
    assert code == [f"{place(model['info'])}/code/synaug_core.zip"], "one archive, and not a file for each module"
    # Both ways: what MLflow lists is there in full, and nothing else is.
    stored = {key: size for key, size in objects.items() if key.startswith("mlflow/")}
    assert len(listed) > 90
    assert {k: v for k, v in stored.items() if k not in listed} == {}
    assert {k: v for k, v in listed.items() if stored.get(k) != v} == {}

    # The images are those whose digests MLflow shows, on the run that holds them and on every run that used them.
    digests = set()
    for run in runs:
        for shown in run["datasets"]:
            split = shown["tags"][0]["value"]
            key = f"{place(run)}/images/{split}.parquet"
            if key in stored:
                body = servers.s3().get_object(Bucket="synaug", Key=key)["Body"].read()
                digests.add((split, hashlib.sha256(body).hexdigest()[:36]))
    splits = {split for split, _ in digests}
    assert splits >= {"train", "val", "test", "synthetic"}
    for run in runs:
        assert {(shown["tags"][0]["value"], shown["dataset"]["digest"]) for shown in run["datasets"]} <= digests


def place(thing: Mapping[str, Any]) -> str:
    """Where the artifacts of a run or a model lie in the bucket."""
    address: str = thing["artifact_uri"]
    return address.replace("mlflow-artifacts:/", "mlflow/", 1)


def artifacts(servers: Any, where: str, folder: str = "path", below: str = "") -> list[tuple[str, int]]:
    """The files that MLflow lists, with their sizes."""
    found = []
    for entry in servers.mlflow(f"{where}{'&' if '?' in where else '?'}{folder}={below}").get("files", ()):
        if entry.get("is_dir"):
            found += artifacts(servers, where, folder, entry["path"])
        else:
            found.append((entry["path"], int(entry["file_size"])))
    return found


def test_every_result_is_in_s3(servers: Any, flow_run: dict[str, Any], objects: dict[str, int]) -> None:
    wanted = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}, "limit": 200}
    tasks = servers.prefect("task_runs/filter", wanted)
    assert {task["state"]["type"] for task in tasks} == {"COMPLETED"}
    kept = [task["state"]["data"] for task in tasks if task["state"]["data"]]
    assert len(kept) > 10
    [block] = {data["storage_block_id"] for data in kept}
    assert servers.prefect(f"block_documents/{block}")["data"] == {"address": "s3://synaug/prefect"}
    stored = {key for key in objects if key.startswith("prefect/")}
    assert {f"prefect/{data['storage_key']}" for data in kept} == stored
    one = servers.s3().get_object(Bucket="synaug", Key=sorted(stored)[0])["Body"].read()
    assert set(json.loads(one)) == {"metadata", "result"}


def test_the_registry_has_the_model(servers: Any, runs: list[dict[str, Any]], objects: dict[str, int]) -> None:
    [model] = servers.mlflow("registered-models/search")["registered_models"]
    assert model["name"] == "synaug-tiny"
    [version] = servers.mlflow("model-versions/search?filter=name%3D%27synaug-tiny%27")["model_versions"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    by = {run["run_id"]: run for run in runs}
    [parent] = [run for run in runs if run["stage"] == "retrain"]
    assert (version["version"], version["status"]) == ("1", "READY")
    assert by[version["run_id"]]["stage"] == "repetition"
    assert tags["synaug.retraining"] == parent["run_id"]
    [key] = [key for key in objects if key.endswith("/comparison.json")]
    comparison = json.loads(servers.s3().get_object(Bucket="synaug", Key=key)["Body"].read())
    assert tags["synaug.arm"] == by[version["run_id"]]["tags"]["synaug.arm"] == comparison["choice"]["arm"]

    # The gate has no champion to compare with, so the first model is it, and the history says so.
    [promotion] = [run for run in runs if run["stage"] == "promotion"]
    body = servers.s3().get_object(Bucket="synaug", Key=f"{place(promotion)}/decision.json")["Body"].read()
    decision = json.loads(body)
    assert decision["promoted"] is True
    assert tags["synaug.decision"] == decision["reason"]
    assert {alias["alias"]: alias["version"] for alias in model["aliases"]} == {"champion": "1"}
    log = next(tag["value"] for tag in model["tags"] if tag["key"] == "synaug.promotion_log")
    [history] = [run for run in servers.runs("synaug-registry") if run["run_id"] == log]
    [entry] = [json.loads(text) for name, text in history["params"].items() if name.isdigit()]
    assert (entry["action"], entry["champion"], entry["previous"]) == ("promote", "1", None)
    assert (entry["by"], entry["why"]) == ("the gate", decision["reason"])
    said = servers.run("synaug", "models", "list", "synaug-tiny")
    assert re.search(r"\b1\b.*champion", said), said


def test_nothing_is_on_local_disks(servers: Any, objects: dict[str, int]) -> None:
    """The client has its file and its logs; the worker has copies of what is in S3, and no store of its own."""
    left = [p.relative_to(servers.desk) for p in servers.desk.rglob("*") if p.is_file()]
    assert {str(p) for p in left if p.parts[:2] not in (("home", "logs"), ("home", "locks"))} == {"tiny.yaml"}
    worker = servers.home / "worker"
    assert {p.name for p in worker.iterdir()} <= {"cache", "checkpoints", "locks", "logs", "prefect"}
    names = {key.rpartition("/")[2] for key in objects}
    copies = [p for p in (worker / "cache").rglob("*") if p.is_file()]
    assert copies
    assert {p.name for p in copies} <= names
    assert not list(servers.home.rglob("mlruns"))
    results = [p for p in servers.home.rglob("storage") if p.is_dir() and any(p.iterdir())]
    assert results == []


def test_trials_are_in_postgresql(servers: Any, flow_run: dict[str, Any]) -> None:
    """And the role of the trials sees no other's database."""
    import psycopg

    given = servers.environment
    address = given["SYNAUG_TUNING_STORAGE"].replace("+psycopg", "")
    with psycopg.connect(address, password=given["PGPASSWORD"]) as connection:
        [(trials,)] = connection.execute("SELECT count(*) FROM trials").fetchall()
    assert trials == 2
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(address.removesuffix("tuning") + "mlflow", password=given["PGPASSWORD"])


def test_no_secret_is_told(servers: Any, flow_run: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """In no log, on no command line, in no tag or parameter, in nothing that Prefect shows."""
    secrets = {p.name: p.read_text() for p in (servers.home / "secrets").iterdir() if p.name != "s3_access"}
    secrets["s3"] = servers.environment["AWS_SECRET_ACCESS_KEY"]
    texts = {p.name: p.read_text(errors="replace") for p in (servers.home / "logs").iterdir()}
    texts["mlflow"], texts["flow run"] = json.dumps(runs), json.dumps(flow_run)
    texts["deployment"] = json.dumps(servers.deployment("retrain/tiny"))
    texts["commands"] = "\n".join(commands())
    assert [(name, where) for name, value in secrets.items() for where, text in texts.items() if value in text] == []


def commands() -> Iterator[str]:
    """The command line of every process."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            yield entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_ctrl_c_ends_everything(servers: Any, flow_run: dict[str, Any], stack_process: Any) -> None:
    files = list((servers.home / "pids").iterdir())
    assert {"postgres", "worker", "reports"} <= {file.name for file in files}
    pids = [int(file.read_text()) for file in files]
    assert len(pids) == 5
    stack_process.send_signal(signal.SIGINT)
    assert stack_process.wait(90) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
