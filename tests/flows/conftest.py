"""Real retrainings, made small: one by the command in a process of its own, the others in one process that stays."""

from __future__ import annotations

import copy
import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.environments import without_services

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "source": "digits",
        "classes": [0, 1, 2],
        "long_tail": 8,
        "image_size": 16,
        "duplicates": {"related": "pixels"},
    },
    "arms": ["original", "control", "combined"],
    "repetitions": 2,
    "generator": {"steps": 20, "evaluate_every": 10, "width": 8},
    "synthesis": {"filters": {"near_duplicates": None}},  # a VAE of 20 steps makes one image over and over
    "classifier": {"steps": 60, "evaluate_every": 30, "width": 8},
    "tuning": {"trials": 2},
    "evaluation": {"resamples": 200},
    "robustness": {"perturbations": ["noise"], "attacks": ["fgsm"], "eps": [4], "images": 30, "repetitions": 1},
    "explanation": {"images": 2},
    "compute": {"workers": 2},
}


@dataclass(frozen=True)
class Said:
    """What a command line came to."""

    code: int
    out: str
    err: str
    outcome: Any
    """The JSON file of `run --json`; None where none was written."""


@dataclass(frozen=True)
class Recorded:
    """An MLflow run and those below it, oldest first."""

    info: Any
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    inputs: list[Any]
    below: tuple[Recorded, ...]

    @property
    def stage(self) -> str:
        return self.tags["synaug.stage"]

    @property
    def place(self) -> Path:
        """The folder of its artifacts."""
        return Path(self.info.artifact_uri.removeprefix("file://"))

    @property
    def details(self) -> dict[str, float]:
        """The figures in the run's table."""
        with (self.place / "metrics.csv").open(encoding="utf-8") as file:
            return {row["figure"]: float(row["value"]) for row in csv.DictReader(file)}

    def all(self) -> list[Recorded]:
        """This run and all below it."""
        return [self, *(r for child in self.below for r in child.all())]

    def of(self, stage: str) -> list[Recorded]:
        """The runs of a stage among these."""
        return [r for r in self.all() if r.stage == stage]


@dataclass(frozen=True)
class Retraining:
    """A retraining and what it left, as it was when it ended."""

    said: Said
    run: Recorded
    versions: dict[str, dict[str, str]]
    aliases: dict[str, str]

    @property
    def outcome(self) -> Any:
        return self.said.outcome


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """A small configuration on digits, with sections and keys changed; None takes a key away."""

    def make(name: str = "tiny", **changes: Any) -> dict[str, Any]:
        config = copy.deepcopy(TINY) | {"name": name}
        for key, value in changes.items():
            if isinstance(value, Mapping) and isinstance(config.get(key), dict):
                config[key] = {k: v for k, v in {**config[key], **value}.items() if v is not None}
            else:
                config[key] = value
        return config

    return make


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, str]:
    """The environment of a user who has set nothing but SYNAUG_HOME, without network. It runs the code of this
    checkout, wherever an installed synaug would be found."""
    home = tmp_path_factory.mktemp("flows") / "home"
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    own = {"SYNAUG_HOME": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "120", "HF_HOME": str(home / "huggingface")}
    own["PYTHONPATH"] = os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p)
    secret = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-secret-that-stays"}
    return {**without_services(), **closed, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **own, **secret}


@pytest.fixture(scope="session")
def command() -> Callable[..., list[str]]:
    """The command line of `synaug` with these arguments."""

    def line(*arguments: object) -> list[str]:
        return [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", *(str(a) for a in arguments)]

    return line


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, Any]], Path]:
    """Writes a configuration to a YAML file."""
    folder = tmp_path_factory.mktemp("configs")

    def to_file(config: Mapping[str, Any]) -> Path:
        path = folder / f"{config['name']}-{len(list(folder.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(dict(config)))
        return path

    return to_file


@pytest.fixture(scope="session")
def synaug(surroundings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Said]]:
    """Runs command lines in one process that lives as long as the tests: see command_lines.py."""
    script = Path(__file__).with_name("command_lines.py")
    log = tmp_path_factory.mktemp("commands") / "stderr"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(script)],
            cwd=tmp_path_factory.mktemp("work"),
            env=surroundings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        commands, answers, numbers = process.stdin, process.stdout, itertools.count()

        def call(*arguments: object) -> Said:
            number = next(numbers)
            commands.write(json.dumps({"number": number, "arguments": [str(a) for a in arguments]}) + "\n")
            commands.flush()
            while True:  # past the answers to what a test has not waited for
                line = answers.readline()
                assert line, log.read_text()
                answer = json.loads(line)
                if answer.pop("number") == number:
                    return Said(**answer, outcome=None)

        yield call
        commands.close()
        assert process.wait(30) == 0, log.read_text()


@pytest.fixture(scope="session")
def retrain(
    synaug: Callable[..., Said], write: Callable[[Mapping[str, Any]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Said]:
    """Runs a configuration in that process."""
    folder = tmp_path_factory.mktemp("outcomes")

    def call(config: Mapping[str, Any], *options: object) -> Said:
        file = folder / f"{len(list(folder.iterdir()))}.json"
        said = synaug("run", write(config), "--json", file, *options)
        outcome = json.loads(file.read_text()) if file.exists() else None
        return Said(said.code, said.out, said.err, outcome)

    return call


@pytest.fixture(scope="session")
def client_of() -> Callable[[Path], Any]:
    """An MLflow client that reads what the runs of a home recorded."""

    def make(home: Path) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{home}/mlflow.db", registry_uri=f"sqlite:///{home}/mlflow.db")

    return make


@pytest.fixture(scope="session")
def mlflow(surroundings: dict[str, str], client_of: Callable[[Path], Any]) -> Any:
    """A client for the home that most tests share."""
    return client_of(Path(surroundings["SYNAUG_HOME"]))


@pytest.fixture(scope="session")
def runs_of(mlflow: Any, tree_of: Callable[[Any, str], list[Recorded]]) -> Callable[[str], list[Recorded]]:
    """`tree_of` in that home."""
    return lambda name: tree_of(mlflow, name)


@pytest.fixture(scope="session")
def tree_of() -> Callable[[Any, str], list[Recorded]]:
    """The runs at the top of a data set's experiment, oldest first, each with those below it."""

    def read(mlflow: Any, name: str) -> list[Recorded]:
        experiment = mlflow.get_experiment_by_name(f"synaug/{name}")
        if experiment is None:
            return []
        found = mlflow.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"], max_results=1000)

        def below(parent: str | None) -> tuple[Recorded, ...]:
            return tuple(
                Recorded(
                    info=r.info,
                    tags=r.data.tags,
                    params=r.data.params,
                    metrics=r.data.metrics,
                    inputs=r.inputs.dataset_inputs,
                    below=below(r.info.run_id),
                )
                for r in found
                if r.data.tags.get("mlflow.parentRunId") == parent
            )

        return list(below(None))

    return read


@pytest.fixture(scope="session")
def registered(mlflow: Any) -> Callable[[str], tuple[dict[str, dict[str, str]], dict[str, str]]]:
    """Version -> tags, and alias -> version, of a data set's registered model."""

    def read(name: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        model = mlflow.get_registered_model(f"synaug-{name}")
        versions = mlflow.search_model_versions(f"name = 'synaug-{name}'")
        aliases = {alias: str(number) for alias, number in model.aliases.items()}
        return {str(v.version): dict(v.tags) for v in versions}, aliases

    return read


@pytest.fixture(scope="session")
def first(
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    tiny: Callable[..., dict[str, Any]],
    write: Callable[[Mapping[str, Any]], Path],
    tmp_path_factory: pytest.TempPathFactory,
    runs_of: Callable[[str], list[Recorded]],
    registered: Callable[[str], tuple[dict[str, dict[str, str]], dict[str, str]]],
) -> Retraining:
    """The small configuration, run once by the command as a user calls it, on an empty SYNAUG_HOME."""
    folder = tmp_path_factory.mktemp("first")
    done = subprocess.run(
        command("run", write(tiny()), "--json", folder / "out.json"),
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads((folder / "out.json").read_text())
    [run] = runs_of("tiny")
    versions, aliases = registered("tiny")
    return Retraining(Said(done.returncode, done.stdout, done.stderr, outcome), run, versions, aliases)


@pytest.fixture(scope="session")
def draw_images() -> Callable[..., Path]:
    """Fills a folder with class folders of small colour images, each class with a hue and a pattern of its own."""

    def draw(folder: Path, counts: Mapping[str, int], size: int = 16, split: str = "") -> Path:
        rng = np.random.default_rng(len(split))
        for number, (name, count) in enumerate(counts.items()):
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[:, :: number + 2, number % 3] += np.uint8(100)
                Image.fromarray(pixels).save(place / f"{split}{i:02}.png")
        return folder

    return draw
