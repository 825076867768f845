from __future__ import annotations

import contextlib
import errno
import io
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from synaug.cli import failures, main, output
from synaug.cli.commands import run
from synaug.cli.failures import Session
from synaug_core.errors import ArtifactError, ConfigError, DataError, DiskFullError
from tests.disks import full_disk, read_only

COMMANDS = (
    *(
        "init",
        "run",
        "sweep",
        "config",
        "demo",
        "ui",
        "report",
        "turing",
        "export",
        "predict",
        "models",
        "deploy",
        "gc",
        "doctor",
    ),
)
Command = Callable[..., Any]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(root: Path, command: str) -> None:
    code = (
        "import sys; from synaug.cli.main import execute; "
        f"code = execute([*{command.split()!r}, '--help']); "
        "heavy = {'torch', 'mlflow', 'prefect', 'pandas', 'optuna', 'sklearn', 'matplotlib', 'sqlalchemy'}; "
        "print('LOADED', *sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "Usage: synaug" in done.stdout


def test_help_names_every_command(synaug: Command) -> None:
    said = synaug("-h")
    assert said.code == 0
    assert all(f" {name} " in said.out for name in COMMANDS)


@pytest.mark.parametrize(("is_worse", "option", "code"), [(True, True, 3), (True, False, 0), (False, True, 0)])
def test_a_model_that_is_worse_than_the_champion_is_an_exit_code_where_it_is_asked_for(
    synaug: Command, monkeypatch: pytest.MonkeyPatch, is_worse: bool, option: bool, code: int
) -> None:
    monkeypatch.setattr(run, "_retrain_and_report", lambda *_: SimpleNamespace(worse_than_champion=is_worse))
    assert synaug("run", "digits", *["--fail-if-worse"] * option).code == code


@pytest.mark.parametrize(("encoding", "text"), [("ascii", r"caf\xe9 \u2713"), ("latin-1", "café \\u2713")])
def test_output_that_takes_few_characters_gets_escapes(
    encoding: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    main.write_any_character()
    output.print_lines("café ✓")
    failures.print_error("café ✓")
    output.print_rows(["é"], [["✓"]])
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue().decode(encoding).startswith(f"{text}\n")  # type: ignore[attr-defined]
    assert sys.stderr.buffer.getvalue().decode(encoding) == f"synaug: {text}\n"  # type: ignore[attr-defined]


def test_version(synaug: Command) -> None:
    assert synaug("--version").out == f"synaug {metadata.version('synaug')}\n"


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("run",), ("run", "--nonsense"), ("export", "x"), ("models", "promote", "x"), ()]
)
def test_wrong_usage_ends_with_2(synaug: Command, arguments: tuple[str, ...]) -> None:
    assert synaug(*arguments).code == 2


def test_a_users_error_is_one_line_without_traceback(synaug: Command, tmp_path: Path) -> None:
    said = synaug("run", tmp_path / "nowhere")
    assert said.code == 2
    assert said.err == f"synaug: SOURCE: '{tmp_path / 'nowhere'}' does not exist\n"
    assert said.out == ""


def test_each_misfit_of_a_configuration_is_a_line(synaug: Command, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: {source: digits}\nrepetitons: 2\ngenerater: {}\n")
    said = synaug("run", tmp_path / "c.yaml")
    assert said.code == 2
    assert [line.split(";")[0] for line in said.err.splitlines()] == [
        "synaug: unknown key repetitons",
        "synaug: unknown key generater",
    ]


@pytest.mark.parametrize(
    "arguments", [("run", "digits"), ("demo",), ("sweep", "sweep.yaml")], ids=lambda arguments: arguments[0]
)
def test_a_choice_that_cannot_be_is_refused_before_anything_is_started(
    synaug: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text("data: {source: digits}\nsweep: {seed: [0, 1]}\n")
    said = synaug(*arguments, "--set", "generator.kind=vaee")
    assert said.code == 2
    *_, line = said.err.splitlines()
    assert "generator.kind: unknown kind 'vaee'; known are autoencoder, diffusion, gan, vae" in line
    assert not home.exists()


def test_debug_shows_the_traceback(synaug: Command) -> None:
    said = synaug("--debug", "run", "nowhere")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("synaug: SOURCE:")


@pytest.mark.parametrize("file", ["", "none/out.json"])
def test_the_json_file_needs_a_place(synaug: Command, tmp_path: Path, file: str) -> None:
    said = synaug("run", "digits", "--json", tmp_path / file)
    assert said.code == 2
    assert "--json" in said.err


def test_a_home_that_takes_nothing_is_named(
    synaug: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = "set SYNAUG_HOME to a folder"
    with full_disk(home):
        said = synaug("models", "list")
        assert (said.code, len(said.err.splitlines())) == (1, 1)
        assert f"no space left on the disk of {home}" in said.err
        assert advice in said.err
        said = synaug("doctor")
        assert f"home       no space left on the disk of {home}\n" in said.out
        assert "mend `home` first" in said.out
        assert "held" not in said.out
        assert "MLFLOW_TRACKING_URI" not in said.out
    assert synaug("models", "list").code == 0
    other = tmp_path / "other"  # MLflow keeps what it has opened, and the command sets its address
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    monkeypatch.setenv("SYNAUG_HOME", str(other))
    with read_only(other):
        said = synaug("models", "list")
        assert (said.code, said.err) == (2, f"synaug: {other}: read-only file system; {advice} you may write to\n")


def test_a_home_that_cannot_be_made(synaug: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SYNAUG_HOME", str(tmp_path / "file" / "home"))
    said = synaug("models", "list")
    assert said.code == 2
    assert "SYNAUG_HOME" in said.err


def wrapped(inner: Exception, how: str) -> Exception:
    if how == "itself":
        return inner
    if how == "group":
        return ExceptionGroup("several", [ValueError("x"), RuntimeError("y"), inner])
    try:
        try:
            raise inner
        except type(inner) as error:
            if how == "cause":
                raise RuntimeError("flow run failed") from error
            raise RuntimeError("flow run failed")  # noqa: B904 - the context is what is tested
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize("how", ["itself", "cause", "context", "group"])
def test_a_users_error_is_found_behind_others(how: str) -> None:
    inner = DataError("the folder is empty")
    assert failures.find_user_error(wrapped(inner, how)) is inner


def test_no_users_error_where_there_is_none() -> None:
    error = RuntimeError("x")
    error.__cause__ = error  # a loop must not catch us
    assert failures.find_user_error(error) is None


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def full_database() -> sqlite3.Error:
    """SQLite's own error: its database may not grow."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError, match="database or disk is full") as caught:
            database.execute("CREATE TABLE a AS SELECT 1")
    return caught.value


FULL = (
    "synaug: no space left on the disk; make room, then run the same command again: it continues "
    "(more with synaug --debug)"
)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("seed: wrong"), 2, "synaug: seed: wrong"),
        (ArtifactError("missing artifact: x"), 1, "synaug: missing artifact: x (more with synaug --debug)"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "synaug: ZeroDivisionError: division by zero (more with synaug --debug)",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 1, FULL),
        (caused(ArtifactError("x cannot be stored"), OSError(errno.ENOSPC, "No space left on device")), 1, FULL),
        (full_database(), 1, FULL),
        (
            DiskFullError("no space left on /x; make room"),
            1,
            "synaug: no space left on /x; make room (more with synaug --debug)",
        ),
        (
            httpx.ConnectError("[Errno 111] Connection refused"),
            1,
            "synaug: the Prefect server does not answer any more; run the same command again: it continues "
            "(more with synaug --debug)",
        ),
    ],
)
def test_reports(capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str) -> None:
    assert failures.report(error, Session()) == code
    assert capsys.readouterr().err == f"{line}\n"


def test_the_traceback_goes_to_the_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert failures.report(KeyError("lost"), Session(log=log)) == 1
    assert capsys.readouterr().err == f"synaug: KeyError: 'lost' (log: {log})\n"
    assert log.read_text() == "KeyError: 'lost'\n"


def test_errors_keep_secrets_to_themselves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    error = OSError("postgresql://me:hunter2@host refused")
    error.__cause__ = ArtifactError("GET http://host/key?X-Amz-Signature=hunter2 failed")
    assert failures.report(error, Session(log=log)) == 1
    assert failures.report(ArtifactError("password=hunter2 is wrong"), Session(debug=True)) == 1
    said = capsys.readouterr().err
    assert "synaug: OSError: postgresql://***@host refused" in said
    assert "ArtifactError: password=*** is wrong" in said
    assert "X-Amz-Signature=*** failed" in log.read_text()
    assert "hunter2" not in said + log.read_text()
