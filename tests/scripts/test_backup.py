"""What goes into a backup, and who may read it. Whole backups: tests/flows/test_cleaning.py, tests/docker."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from scripts.backup import stack
from scripts.backup.home import back_up_home
from scripts.stack import postgres
from synaug_core.errors import SynaugError, UserError
from synaug_core.services.settings import settings
from tests.s3.faults import Faults
from tests.s3.fixtures import Bucket


def write_rows(file: Path, rows: int = 3) -> sqlite3.Connection:
    """A database whose rows are in its log only, as while a run goes on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    with database:
        database.execute("CREATE TABLE trials (number INTEGER)")
        database.executemany("INSERT INTO trials VALUES (?)", [(n,) for n in range(rows)])
    return database


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A home with runs, results of steps and artifacts."""
    home = tmp_path / "home"
    for name in ("artifacts/1/thumbs.db.png", "artifacts/1/labels.db", "prefect/storage/0123.db4"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text('{"result": "1"}')
    write_rows(home / "mlflow.db").close()
    return home


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_databases_are_copied_whole_and_no_artifact_is_taken_for_one(used: Path, tmp_path: Path) -> None:
    current = settings({"SYNAUG_HOME": str(used), "SYNAUG_TUNING_STORAGE": f"sqlite:///{used / 'tuning.db'}"})
    with contextlib.closing(write_rows(used / "tuning.db")):
        back_up_home(current, tmp_path / "backup")
    assert files(tmp_path / "backup") == {
        "artifacts/1/labels.db",
        "artifacts/1/thumbs.db.png",
        "backup.json",
        "mlflow.db",
        "prefect/storage/0123.db4",
        "tuning.db",
    }
    with contextlib.closing(sqlite3.connect(tmp_path / "backup" / "tuning.db")) as copy:
        assert copy.execute("SELECT count(*) FROM trials").fetchone() == (3,)


def test_a_journal_of_any_name_ends_with_a_whole_line(used: Path, tmp_path: Path) -> None:
    journal = used / "searches.journal"
    journal.write_text("whole\nhal")
    current = settings({"SYNAUG_HOME": str(used), "SYNAUG_TUNING_STORAGE": str(journal)})
    back_up_home(current, tmp_path / "backup")
    assert (tmp_path / "backup" / journal.name).read_text() == "whole\n"


def test_only_the_owner_may_enter_a_backup(used: Path, tmp_path: Path) -> None:
    back_up_home(settings({"SYNAUG_HOME": str(used)}), tmp_path / "backup")
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("SYNAUG_TUNING_STORAGE", "sqlite:///{elsewhere}/tuning.db"),
        ("SYNAUG_TUNING_STORAGE", "postgresql+psycopg://me:hunter2@host/tuning"),
        ("SYNAUG_TUNING_STORAGE", "{elsewhere}/tuning.journal"),
        ("SYNAUG_TUNING_STORAGE", "{home}/cache/tuning.journal"),
        ("PREFECT_HOME", "{elsewhere}/prefect"),
    ],
)
def test_what_lies_elsewhere_is_named(used: Path, tmp_path: Path, variable: str, place: str) -> None:
    value = place.format(home=used, elsewhere=tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"^{variable}: ") as caught:
        back_up_home(settings({"SYNAUG_HOME": str(used), variable: value}), tmp_path / "backup")
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "backup").exists()


def test_an_object_deleted_meanwhile_is_left_out(
    bucket: Bucket, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "BUCKET", bucket.name)
    for key in ("a", "b/c", "d"):
        bucket.put(key)
    faults.add("pass", to="b/c", method="HEAD")
    faults.plan[-1].then = lambda: bucket.delete("b/c")
    told = {**bucket.server.environment, "AWS_ENDPOINT_URL_S3": faults.endpoint}
    stack._download(stack._client(told), tmp_path / "copy")
    assert files(tmp_path / "copy") == {"a", "d"}


def test_what_the_store_refuses_is_said_in_one_line(
    bucket: Bucket, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "BUCKET", bucket.name)
    bucket.put("a")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a").write_text("x")
    client = stack._client({**bucket.server.environment, "AWS_ENDPOINT_URL_S3": faults.endpoint})
    faults.add("expired", to=bucket.name)
    with pytest.raises(SynaugError, match=f"^no access to s3://{bucket.name} at {faults.endpoint} with these"):
        stack._keys(client)
    faults.add("expired", to="/a", method="HEAD")
    with pytest.raises(SynaugError, match="no access to"):
        stack._download(client, tmp_path / "copy")
    faults.add("expired", 9, to="/a", method="PUT")
    with pytest.raises(SynaugError, match="no access to"):
        stack._upload(client, tmp_path / "given")


def test_nobody_else_may_read_the_password_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, home, modes = tmp_path / "kept", tmp_path / "postgres", []
    kept.write_text("hunter2")
    home.mkdir()
    initdb = tmp_path / "initdb"
    initdb.write_text(f"#!/bin/sh\nmkdir {home}/data && cp {home}/password {home}/data/told\n")
    initdb.chmod(0o755)
    write = Path.write_text

    def watched(path: Path, *given: str) -> int:
        modes.append(path.stat().st_mode & 0o777 if path.exists() else None)
        return write(path, *given)

    monkeypatch.setattr(Path, "write_text", watched)
    postgres._make(tmp_path, home, kept, {})
    assert modes == [0o600]
    assert (home / "data" / "told").read_text() == "hunter2"
    assert not (home / "password").exists()
