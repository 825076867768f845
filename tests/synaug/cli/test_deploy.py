"""`synaug deploy`: what is refused before anything is written, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.entry_points import check_entry_points
from synaug.cli.commands import deploy
from synaug_core.errors import UserError
from synaug_core.services.settings import child_environment, settings

Command = Callable[..., Any]


@pytest.fixture
def configs(tmp_path: Path) -> tuple[Path, Path]:
    """One with a sweep, and one without."""
    with_sweep, plain = tmp_path / "curve.yaml", tmp_path / "plain.yaml"
    with_sweep.write_text("data: {source: digits}\nsweep: {data.per_class: [5, 10]}\n")
    plain.write_text("data: {source: digits}\n")
    return with_sweep, plain


def test_a_sweep_is_found_beside_the_configuration(configs: tuple[Path, Path]) -> None:
    config, sweep = deploy._load(str(configs[0]), ["repetitions=2"])
    assert (config.name, config.repetitions) == ("curve", 2)
    assert sweep is not None
    assert list(sweep.grid) == ["data.per_class"]
    assert deploy._load(str(configs[1]), [])[1] is None


@pytest.mark.usefixtures("home")
def test_what_is_refused(synaug: Command, configs: tuple[Path, Path]) -> None:
    for arguments, reason in [
        ((*configs, "--name", "x"), "--name: give one SOURCE at a time"),
        ((configs[1], configs[1]), "two configurations are named 'plain'"),
        (("nowhere.yaml",), "nowhere.yaml: cannot be read"),
        ((configs[1],), "no Prefect server is configured"),
    ]:
        said = synaug("deploy", *arguments)
        assert said.code == 2
        assert said.err.startswith(f"synaug: {reason}"), said.err
        assert len(said.err.splitlines()) == 1
    assert synaug("deploy", configs[1], "--busy", "perhaps").code == 2
    assert synaug("deploy").code == 2


@pytest.mark.usefixtures("home")
def test_containers_need_servers(synaug: Command, configs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    said = synaug("deploy", configs[1], "--pool-type", "docker")
    assert said.code == 2
    assert "--pool-type docker: its runs cannot reach sqlite:" in said.err
    assert "set MLFLOW_TRACKING_URI to an MLflow server" in said.err
    said = synaug("deploy", configs[1], "--image", "x")
    assert said.err.startswith("synaug: --image: runs of a process pool have none")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    found = deploy._job_variables(settings(), "kubernetes", "synaug:cuda")
    assert found == {"env": {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}, "image": "synaug:cuda"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@mlflow:5000")
    assert deploy._job_variables(settings(), "docker", None) == {"env": {}}


@pytest.mark.usefixtures("home")
def test_folders_are_each_workers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow is a server, workers may be elsewhere; without one, they have to share this machine's database."""
    here = deploy._job_variables(settings(), "process", None)["env"]
    assert here["SYNAUG_HOME"] == str(settings().home)
    assert here["MLFLOW_TRACKING_URI"].startswith("sqlite:///")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    there = deploy._job_variables(settings(), "process", None)["env"]
    assert there["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert not [value for value in there.values() if str(settings().home) in value]


@pytest.mark.usefixtures("home")
def test_runs_start_in_no_folder_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert "working_dir" not in deploy._job_variables(settings(), "process", None)


def test_a_worker_finds_the_flows_that_are_here(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of the folder that is deployed from; and where others come first, the line names them."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "tasks.py").touch()
    monkeypatch.chdir(tmp_path)
    here = child_environment(settings())
    check_entry_points(here)
    with pytest.raises(
        UserError, match=r"a worker would load flows\.retrain from nowhere, and synaug's is .*retrain\.py"
    ):
        check_entry_points(here | {"PYTHONPATH": f"{tmp_path}:{here.get('PYTHONPATH', '')}"})
