"""The command as a person uses it: each call a process of its own, on an embedded store of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import without_services

pytestmark = pytest.mark.slow

TINY = [
    *("--set", "data.classes=[0, 1, 2]", "--set", "arms=[original, combined]", "--set", "repetitions=2"),
    *("--set", "tuning.trials=0", "--set", "generator.steps=20", "--set", "generator.width=8"),
    *("--set", "classifier.steps=20", "--set", "classifier.width=8"),
]
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("whole") / "home"
    return {**without_services(), "SYNAUG_HOME": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def command(*arguments: object) -> list[str]:
    code = "from synaug.cli.main import run_app; run_app()"
    return [sys.executable, "-c", code, *(str(a) for a in arguments)]


@pytest.fixture(scope="module")
def shell(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("work")

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, timeout=280
        )

    return call


@pytest.fixture(scope="module")
def first(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, subprocess.CompletedProcess[str]]:
    file = tmp_path_factory.mktemp("json") / "out.json"
    done = shell("run", "digits", *TINY, "--json", file)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done


def test_a_run_ends_with_the_table_and_where_to_look(first: tuple[Any, subprocess.CompletedProcess[str]]) -> None:
    outcome, done = first
    assert "combined" in done.stdout
    assert done.stdout.count(outcome["sentence"]) == 1
    assert outcome["comparison_page"] in done.stdout
    assert Path(outcome["comparison_page"]).is_file()
    assert f"synaug export {outcome['run_id']}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"^\[\d+:\d\d\] training: original 1: done in ", done.stderr, re.MULTILINE)


def test_the_outcome_is_as_designed(first: tuple[Any, subprocess.CompletedProcess[str]]) -> None:
    outcome, _ = first
    named = {"run_id", "tracking_uri", "experiment", "dataset", "arms", "best_arm", "verdict", "model", "steps"}
    assert named | {"cached_steps", "seconds", "sentence", "comparison_page"} <= outcome.keys()
    assert "comparison" not in outcome
    assert outcome["experiment"] == "synaug/digits"
    assert outcome["dataset"].keys() == {"name", "digest", "classes", "train", "test", "rejected"}
    assert outcome["arms"].keys() == {"original", "combined"}
    assert all(v.keys() == {"mean", "low", "high"} for arm in outcome["arms"].values() for v in arm.values())
    assert outcome["verdict"] in {"gain", "no gain shown"}
    assert outcome["model"]["name"] == "synaug-digits"
    assert outcome["cached_steps"] == 0
    assert "total" in outcome["seconds"]


def test_again_unchanged_nothing_is_trained(
    shell: Shell, first: tuple[Any, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = shell("run", "digits", *TINY, "--json", tmp_path / "again.json", "--quiet")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["cached_steps"] == again["steps"] == first[0]["steps"]
    assert again["arms"] == first[0]["arms"]
    assert done.stdout == f"{first[0]['sentence']}\n"
    assert done.stderr == ""


def test_what_it_made_is_exported_and_predicts(
    shell: Shell, first: tuple[Any, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert shell("export", first[0]["run_id"], tmp_path / "out").returncode == 0
    images = sorted((tmp_path / "out" / "dataset" / "images" / "test").rglob("*.png"))
    assert len(images) == sum(first[0]["dataset"]["test"].values())
    assert list((tmp_path / "out" / "synthesis").rglob("*.png"))
    done = shell("predict", "synaug-digits", *images[:3], "--json")
    assert done.returncode == 0, done.stderr
    assert [set(answer["probabilities"]) for answer in json.loads(done.stdout)] == [{"0", "1", "2"}] * 3


def test_a_users_error_inside_the_flow_is_one_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = shell("run", tmp_path / "empty", "--quiet")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"synaug: data.source: {tmp_path / 'empty'} has no images\n"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_kill_ends_it_and_running_again_continues(
    shell: Shell,
    first: tuple[Any, subprocess.CompletedProcess[str]],
    environment: dict[str, str],
    tmp_path: Path,
    kind: signal.Signals,
) -> None:
    longer = [*TINY, "--set", f"classifier.steps={1500 + kind}", "--set", "classifier.patience=1000"]
    process = subprocess.Popen(
        command("run", "digits", *longer), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "generator" in line:
            break
    time.sleep(3)
    process.send_signal(kind)
    rest = process.stderr.read()
    assert process.wait(30) == 1
    assert "synaug: stopping; run the same command again and it continues where it was" in rest
    assert "Traceback" not in rest
    done = shell("run", "digits", *longer, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["cached_steps"] >= 1


@pytest.fixture
def pages(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The addresses that `synaug ui` prints, while it runs."""
    process = subprocess.Popen(
        command("ui", "--no-browser", "--mlflow-port", 25_000, "--prefect-port", 24_200),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    yield dict(re.findall(r"(MLflow|Prefect): +(\S+)", "".join(lines)))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def post(url: str, **body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_pages_show_the_run_and_take_a_deployment(
    shell: Shell,
    first: tuple[Any, subprocess.CompletedProcess[str]],
    pages: dict[str, str],
    environment: dict[str, str],
) -> None:
    with urllib.request.urlopen(pages["MLflow"], timeout=30) as page:
        assert b"<html" in page.read()
    [experiment] = [
        e
        for e in post(f"{pages['MLflow']}/api/2.0/mlflow/experiments/search", max_results=50)["experiments"]
        if e["name"] == first[0]["experiment"]
    ]
    found = post(f"{pages['MLflow']}/api/2.0/mlflow/runs/search", experiment_ids=[experiment["experiment_id"]])
    assert first[0]["run_id"] in {run["info"]["run_id"] for run in found["runs"]}

    environment["PREFECT_API_URL"] = f"{pages['Prefect']}/api"
    try:
        for cron in ("0 3 * * *", "0 4 * * *"):
            done = shell("deploy", "digits", *TINY, "--cron", cron, "--timezone", "Europe/Berlin")
            assert done.returncode == 0, done.stderr
        refused = shell("deploy", "digits", "--cron", "now and then")
    finally:
        del environment["PREFECT_API_URL"]
    assert refused.returncode == 2
    assert refused.stderr.startswith("synaug: --cron 'now and then'")
    deployments = post(f"{pages['Prefect']}/api/deployments/filter")
    [deployment] = [d for d in deployments if d["entrypoint"] == "flows.retrain.retrain"]
    assert deployment["name"] == "digits"
    assert [s["schedule"]["cron"] for s in deployment["schedules"]] == ["0 4 * * *"]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["parameters"]["config"]["repetitions"] == 2
    assert deployment["job_variables"]["env"]["SYNAUG_HOME"] == environment["SYNAUG_HOME"]


def test_both_servers_are_gone_afterwards() -> None:
    for port in (25_000, 24_200):
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0


def test_the_doctor_names_what_is_wrong(shell: Shell, environment: dict[str, str]) -> None:
    well = shell("doctor")
    assert well.returncode == 0, well.stdout
    assert well.stdout.count("OK ") == 7
    environment["PREFECT_API_URL"] = "http://user:hunter2@127.0.0.1:9/api"
    try:
        ill = shell("doctor")
    finally:
        del environment["PREFECT_API_URL"]
    assert ill.returncode == 1
    assert "PROBLEM  prefect" in ill.stdout
    assert "unset PREFECT_API_URL" in ill.stdout
    assert "hunter2" not in ill.stdout + ill.stderr
