"""A retraining among servers that fail, and what has to be true of it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from synaug_core import digests
from tests.environments import without_services
from tests.faults.servers import BUCKET, ROOT, Servers, client

TINY: dict[str, Any] = {
    "data": {
        "source": "digits",
        "classes": ["0", "1", "2"],
        "long_tail": 8,
        "image_size": 16,
        "duplicates": {"related": "pixels"},
    },
    "arms": ["original", "combined"],
    "repetitions": 1,
    "generator": {"steps": 20, "evaluate_every": 10, "width": 8},
    "synthesis": {"filters": {"near_duplicates": None, "label_consistency": None}},
    "classifier": {"steps": 20, "evaluate_every": 10, "width": 8},
    "tuning": {"trials": 2, "steps": 10},
    "evaluation": {"resamples": 200},
    "quality": {"enabled": False},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
}
_PROGRESS = re.compile(r"\[\d+:\d\d(:\d\d)?\] ")
_SAME_BYTES = (".parquet", ".safetensors")


class Zygote:
    """The process from which commands are forked."""

    def __init__(self, folder: Path) -> None:
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "true"}
        self.environment = {**without_services(), **own}
        self._lock = threading.Lock()
        with (folder / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("zygote.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment, cwd=folder,
            )  # fmt: skip
        self._answer()

    def ask(self, **asked: Any) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate(timeout=20)


class Fresh:
    """Stands in for the zygote where a command is to be started as by a user, with a Python of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    def ask(self, **asked: Any) -> dict[str, Any]:
        if "ended" in asked:
            return {"code": self._started[asked["ended"]].poll()}
        command = [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", *asked["start"]]
        with Path(asked["out"]).open("wb") as out, Path(asked["err"]).open("wb") as err:
            process = subprocess.Popen(
                command, env=asked["environment"], cwd=asked["folder"], stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, start_new_session=True,
            )  # fmt: skip
        self._started[process.pid] = process
        return {"pid": process.pid}


class Running:
    """A command under way."""

    def __init__(
        self, zygote: Zygote | Fresh, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.err")))
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        self.err.touch()  # the next one's number is another, however soon it starts
        self._zygote, self.code = zygote, None
        self.pid: int = zygote.ask(
            start=[str(a) for a in arguments], environment={**zygote.environment, **environment}, folder=str(folder),
            out=str(self.out), err=str(self.err),
        )["pid"]  # fmt: skip

    def ended(self) -> bool:
        if self.code is None:
            self.code = self._zygote.ask(ended=self.pid)["code"]
        return self.code is not None

    def lines(self) -> list[str]:
        return self.err.read_text().splitlines() if self.err.exists() else []

    def steps(self, stage: str) -> int:
        """Steps of a stage that are over."""
        return len([x for x in self.lines() if f"] {stage}: " in x and (": done in" in x or ": reused" in x)])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = 240.0) -> int:
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"it hung for {seconds:.0f} s:\n{self.text()}")
            time.sleep(0.05)
        assert self.code is not None
        return self.code

    def wait_for_steps(self, stage: str, number: int, seconds: float = 200.0) -> None:
        end = time.monotonic() + seconds
        while self.steps(stage) < number:
            assert not self.ended(), f"it ended too early with {self.code}:\n{self.text()}"
            assert time.monotonic() < end, f"it never came so far:\n{self.text()}"
            time.sleep(0.02)

    def text(self) -> str:
        return f"{self.out.read_text()}\n{self.err.read_text()}"

    def one_line(self) -> str:
        """What it said when it gave up: one line, and nothing else but its progress."""
        lines = [x for x in self.lines() if x.strip() and not _PROGRESS.match(x)]
        assert len(lines) == 1, f"not one line:\n{self.text()}"
        assert lines[0].startswith("synaug: "), lines[0]
        assert "Traceback" not in self.text()
        return lines[0].removeprefix("synaug: ")


@dataclass(frozen=True)
class Whole:
    """What a retraining came to, without what differs from one to the next."""

    outcome: Mapping[str, Any]
    runs: Counter[tuple[str, str, str]]
    metrics: Mapping[str, Any]
    artifacts: Mapping[str, Any]

    def differences(self, other: Whole) -> str:
        found = []
        for name in ("outcome", "runs", "metrics", "artifacts"):
            mine, theirs = getattr(self, name), getattr(other, name)
            keys = {k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k)}
            found += [f"{name} {key}: {theirs.get(key)} instead of {mine.get(key)}" for key in sorted(keys, key=str)]
        return "\n".join(found)


@dataclass
class Scene:
    """One data set of its own, in a home of its own, with the servers that all scenes share."""

    name: str
    folder: Path
    servers: Servers
    zygote: Zygote | Fresh
    direct: bool = False
    """MLflow's client writes to PostgreSQL and S3 by itself; else through MLflow's server."""
    config: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        own = {"SYNAUG_HOME": str(self.home), "COLUMNS": "160", "HF_HOME": str(self.folder / "huggingface")}
        if self.direct:
            own["MLFLOW_TRACKING_URI"] = f"{self.servers.database.address}/mlflow"
            own["SYNAUG_ARTIFACT_ROOT"] = f"s3://{BUCKET}/direct"
        return {**self.servers.environment, **own, **self.variables}

    def start(self, *options: object, home: Path | None = None, **variables: str) -> Running:
        """`synaug run` on this data set."""
        self.write()
        environment = {**self.environment, **({"SYNAUG_HOME": str(home)} if home else {}), **variables}
        return self.command("run", self.config_file, *(options or ("--json", self.json)), environment=environment)

    @property
    def config_file(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    def write(self) -> None:
        """Write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(yaml.safe_dump({"name": self.name, **TINY, **self.config}))

    def command(self, *arguments: object, environment: Mapping[str, str] | None = None) -> Running:
        """Any command line."""
        return Running(self.zygote, [str(a) for a in arguments], environment or self.environment, self.folder)

    @property
    def json(self) -> Path:
        return self.folder / "outcome.json"

    def whole(self, *, prefect: bool = True) -> Whole:
        """Look at everything that is there now, as it is in the servers.

        Raises:
            AssertionError: a run is left open, or an artifact is not what a result says of it.
        """
        outcome = json.loads(self.json.read_text())
        found = mlflow_client(self.servers)
        experiment = found.get_experiment_by_name(f"synaug/{self.name}")
        runs = found.search_runs([experiment.experiment_id], max_results=1000)
        assert {r.info.status for r in runs} == {"FINISHED"}, [(r.info.run_name, r.info.status) for r in runs]
        assert not [r.info.run_name for r in runs if "synaug.error" in r.data.tags]
        self.check_results()
        states = dict(
            self.servers.database.ask(
                f"SELECT state_type::text, count(*) FROM flow_run WHERE name LIKE '{self.name} %' GROUP BY 1", "prefect"
            )
        )
        assert not prefect or not states.keys() & {"RUNNING", "PENDING", "SCHEDULED"}, states
        versions = [v for v in found.search_model_versions(f"name = 'synaug-{self.name}'") if v.status == "READY"]
        aliases = found.get_registered_model(f"synaug-{self.name}").aliases
        assert (len(versions), aliases) == (1, {"champion": versions[0].version}), (versions, aliases)
        kept = ("arms", "best_arm", "verdict", "sentence", "promotion", "steps")
        dataset = {k: v for k, v in outcome["dataset"].items() if k != "name"}
        objects = self._objects(experiment.experiment_id)
        artifacts: dict[str, list[str]] = {}
        metrics: dict[str, list[Any]] = {}
        for run in runs:
            label = f"{run.data.tags['synaug.stage']} {run.info.run_name}"
            if run.data.tags["synaug.stage"] == "retrain":
                label = "retrain"  # its name has the minute in it when it began
            own = {k: v for k, v in run.data.metrics.items() if not k.startswith("seconds/")}
            metrics.setdefault(label, []).append(sorted(own.items()))
            for key, sha256 in objects.items():
                if f"/{run.info.run_id}/artifacts/" in key:
                    inner = key.partition(f"/{run.info.run_id}/artifacts/")[2]
                    artifacts.setdefault(f"{label}: {inner}", []).append(sha256)
        shape = Counter((label, "FINISHED", str(len(found))) for label, found in metrics.items())
        return Whole(
            {**{k: outcome[k] for k in kept}, "dataset": dataset},
            shape,
            {k: sorted(v) for k, v in metrics.items()},
            {k: sorted(v) for k, v in artifacts.items()},
        )

    def check_results(self) -> int:
        """Every artifact that a kept result of a step names is there with the very bytes; how many there are."""
        s3 = client(self.servers.store.server)
        checked = set()
        for file in sorted((self.home / "prefect" / "storage").glob("*")):
            for uri, sha256 in _references(_read(file)):
                if (uri, sha256) in checked:
                    continue
                checked.add((uri, sha256))
                assert self._digest(s3, uri) == sha256, f"{uri} was taken for whole"
        return len(checked)

    def _digest(self, s3: Any, uri: str) -> str:
        key = uri.replace("mlflow-artifacts:/", "mlflow/", 1).removeprefix(f"s3://{BUCKET}/")
        names = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", ())]
        bodies = {n: s3.get_object(Bucket=BUCKET, Key=n)["Body"].read() for n in names}
        if names == [key]:
            return digests.of_bytes(bodies[key])
        inside = {n.removeprefix(f"{key}/"): digests.of_bytes(b) for n, b in bodies.items() if n.startswith(f"{key}/")}
        return digests.of_value(inside)

    def _objects(self, experiment: str) -> dict[str, str]:
        """SHA-256 of the stored objects that have to have the same bytes in every retraining."""
        s3 = client(self.servers.store.server)
        prefix = f"direct/synaug-{self.name}/" if self.direct else f"mlflow/{experiment}/"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        names = [o["Key"] for page in pages for o in page.get("Contents", ()) if o["Key"].endswith(_SAME_BYTES)]
        return {n: digests.of_bytes(s3.get_object(Bucket=BUCKET, Key=n)["Body"].read()) for n in names}


def mlflow_client(servers: Servers) -> Any:
    """An MLflow client past all proxies."""
    from mlflow import MlflowClient

    address = servers.mlflow.health.removesuffix("/health")
    return MlflowClient(address, registry_uri=address)


def _read(file: Path) -> Any:
    """A kept result; None where it was not written to its end: then it counts as absent."""
    try:
        found = json.loads(file.read_text())
    except ValueError:
        return None
    return json.loads(found["result"]) if isinstance(found.get("result"), str) else found


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if {"uri", "sha256"} <= value.keys():
            yield value["uri"], value["sha256"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
