"""A home with several retrainings: cleaned up, backed up while in use, restored elsewhere, and used again."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SMALL = {
    "arms": ["original", "combined"],
    "repetitions": 1,
    "tuning": {"trials": 2, "steps": 10},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
}
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cleaning") / "home"


@pytest.fixture(scope="module")
def call(surroundings: dict[str, str], home: Path, root: Path, command: Callable[..., list[str]]) -> Call:
    """Runs `synaug` on the home of these tests, or another; `python` runs a module instead."""

    def run(*arguments: object, at: Path | None = None, python: bool = False) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", *(str(a) for a in arguments)] if python else command(*arguments)
        environment = surroundings | {"SYNAUG_HOME": str(at or home)}
        return subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=600)

    return run


@pytest.fixture(scope="module")
def retrain(
    call: Call,
    tiny: Callable[..., dict[str, Any]],
    write: Callable[[Mapping[str, Any]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    """A retraining with so many steps of the classifier: what it came to."""
    out = tmp_path_factory.mktemp("outcomes") / "out.json"

    def run(steps: int, at: Path | None = None) -> Any:
        done = call("run", write(tiny(classifier={"steps": steps}, **SMALL)), "--quiet", "--json", out, at=at)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())

    return run


@pytest.fixture(scope="module")
def outcomes(retrain: Callable[..., Any]) -> list[Any]:
    """Four retrainings: the first is champion, the last challenger; all share the first one's images."""
    return [retrain(steps) for steps in (20, 21, 22, 23)]


@pytest.fixture(scope="module")
def backup(outcomes: list[Any], call: Call, home: Path, tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Made while another process writes runs, without a pause, from before it begins until after it ended."""
    target = tmp_path_factory.mktemp("backups") / "today"
    writing = """
import os, sys
from synaug_core.services.settings import settings
from synaug_core.services.mlflow.runs import recording
number = 0
while True:
    with recording(settings(), experiment="synaug/busy", key=str(number), stage="retrain", name="n") as recorder:
        recorder.metrics({"x": number})
        recorder.text("x" * 100_000, "x.txt")
    number += 1
    print(number, flush=True)
"""
    import os

    environment = {**os.environ, "SYNAUG_HOME": str(home), "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", writing], env=environment, stdout=subprocess.PIPE, text=True, cwd=root
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "1\n"
            done = call("scripts.backup", "home", target, python=True)
            assert writer.poll() is None
        finally:
            writer.kill()
    assert done.returncode == 0, done.stderr
    return target


def champion_says(call: Call, images: list[Path], at: Path | None = None) -> Any:
    done = call("predict", "synaug-tiny", *images, "--json", at=at)
    assert done.returncode == 0, done.stderr
    return [answer["probabilities"] for answer in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def images(outcomes: list[Any], call: Call, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exported") / "run"
    assert call("export", outcomes[0]["run_id"], folder).returncode == 0
    return sorted((folder / "dataset" / "images" / "test").rglob("*.png"))[:3]


@pytest.fixture(scope="module")
def before(outcomes: list[Any], images: list[Path], call: Call) -> Any:
    return champion_says(call, images)


def test_a_backup_is_restored_to_another_place(
    backup: Path,
    outcomes: list[Any],
    before: Any,
    images: list[Path],
    retrain: Callable[..., Any],
    call: Call,
    home: Path,
    tmp_path: Path,
) -> None:
    other = tmp_path / "another" / "home"
    done = call("scripts.backup", "restore-home", backup, "--home", other, python=True)
    assert done.returncode == 0, done.stderr
    with contextlib.closing(sqlite3.connect(other / "mlflow.db")) as database:
        assert not [line for line in database.iterdump() if f"file://{home}" in line]
    aside = home.with_name("aside")
    home.rename(aside)  # what is found now is found in the other place
    try:
        again = retrain(20, at=other)
        assert again["run_id"] == outcomes[0]["run_id"]
        assert again["cached_steps"] == again["steps"] == outcomes[0]["steps"]
        assert again["arms"] == outcomes[0]["arms"]
        assert Path(again["comparison_page"]).is_relative_to(other)
        assert Path(again["comparison_page"]).is_file()
        assert champion_says(call, images, at=other) == before
    finally:
        aside.rename(home)


def test_restoring_overwrites_nothing_unasked_and_finds_damage(backup: Path, call: Call, tmp_path: Path) -> None:
    other = tmp_path / "home"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    refused = call("scripts.backup", "restore-home", backup, "--home", other, python=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"backup: {other} is not empty")
    assert [p.name for p in other.iterdir()] == ["mine.txt"]
    asked = call("scripts.backup", "restore-home", backup, "--home", other, "--overwrite", python=True)
    assert asked.returncode == 0, asked.stderr
    [aside] = tmp_path.glob("home.before-*")
    assert (aside / "mine.txt").read_text() == "mine"
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    with next(damaged.rglob("*.safetensors")).open("r+b") as file:
        file.write(b"evil")
    done = call("scripts.backup", "restore-home", damaged, "--home", tmp_path / "new", python=True)
    assert done.returncode == 1
    assert "is damaged; take another backup" in done.stderr
    assert not (tmp_path / "new").exists()
    nothing = call("scripts.backup", "restore-home", tmp_path, "--home", tmp_path / "new", python=True)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


@pytest.fixture
def killed(outcomes: list[Any], surroundings: dict[str, str], home: Path, command: Callable[..., list[str]]) -> Any:
    """A clean-up that was killed when it had deleted some runs."""
    artifacts = home / "artifacts" / "synaug-tiny"
    there = len(list(artifacts.iterdir()))
    with subprocess.Popen(
        command("gc", "tiny", "--keep", "1", "--days", "0", "--yes"), env=surroundings | {"SYNAUG_HOME": str(home)}
    ) as process:
        while process.poll() is None and len(list(artifacts.iterdir())) > there - 4:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    return there - len(list(artifacts.iterdir()))


def test_old_retrainings_go_and_the_others_are_as_before(
    backup: Path,
    before: Any,
    killed: int,
    outcomes: list[Any],
    images: list[Path],
    retrain: Callable[..., Any],
    call: Call,
    home: Path,
    client_of: Callable[[Path], Any],
    tree_of: Callable[[Any, str], list[Any]],
) -> None:
    assert killed > 0
    left = call("gc", "tiny", "--keep", "1", "--days", "0")
    assert left.returncode == 0, left.stderr
    assert "nothing was deleted" in left.stdout
    done = call("gc", "tiny", "--keep", "1", "--days", "0", "--yes")
    assert done.returncode == 0, done.stderr
    assert "nothing to delete" in call("gc", "tiny", "--keep", "1", "--days", "0").stdout
    # Of the second and the third only what the registered versions need is left.
    trees = {t.info.run_id: t for t in tree_of(client_of(home), "tiny")}
    assert {r.stage for r in trees[outcomes[1]["run_id"]].all()} == {
        *("retrain", "arm", "repetition", "dataset", "promotion"),
    }
    known = {r.info.run_id for t in trees.values() for r in t.all()}
    folders = {p.name for p in (home / "artifacts" / "synaug-tiny").iterdir()} - {"models"}
    assert folders <= known
    for number in (0, 3):
        again = retrain(20 + number)
        assert again["run_id"] == outcomes[number]["run_id"]
        assert again["cached_steps"] == again["steps"]
        assert Path(again["comparison_page"]).is_file()
        assert call("report", again["run_id"]).returncode == 0
    assert champion_says(call, images) == before
    anew = retrain(21)
    assert 0 < anew["cached_steps"] < anew["steps"]
    assert anew["arms"] == outcomes[1]["arms"]
    assert anew["comparison_page"] is not None
    assert Path(anew["comparison_page"]).is_file()
    whole = retrain(21)
    assert whole["cached_steps"] == whole["steps"]


@pytest.fixture
def going_on(outcomes: list[Any], surroundings: dict[str, str], home: Path, root: Path) -> Iterator[None]:
    """A retraining of the same experiment that another process makes."""
    code = """
import sys
from synaug_core.services.settings import settings
from synaug_core.services.mlflow.runs import recording
with recording(settings(), experiment="synaug/tiny", key="on", stage="retrain", name="on"):
    print("on", flush=True)
    sys.stdin.read()
"""
    environment = surroundings | {"SYNAUG_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, cwd=root, stdin=-1, stdout=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        yield
        process.kill()


def test_where_a_retraining_goes_on_nothing_is_touched(
    outcomes: list[Any], going_on: None, call: Call, home: Path
) -> None:
    files = {p for p in home.rglob("*") if p.is_file() and "logs" not in p.parts}
    done = call("gc", "tiny", "--keep", "0", "--days", "0", "--yes")
    assert done.returncode == 0, done.stderr
    assert "synaug/tiny is skipped" in done.stdout
    assert {p for p in home.rglob("*") if p.is_file() and "logs" not in p.parts} >= files
