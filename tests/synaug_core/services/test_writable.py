"""Folders that cannot be written are told with what to do."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from pathlib import Path

import pytest

from synaug_core.errors import DiskFullError, UserError
from synaug_core.services.writable import is_disk_full, require_writable, says_full, trouble_with
from tests.disks import full_disk, read_only


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert trouble_with(tmp_path / "a" / "b") is None
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/home: not a directory; set SYNAUG_HOME to a folder you may write to"):
        require_writable(tmp_path / "file" / "home")


def test_a_full_disk(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with full_disk(home), pytest.raises(DiskFullError, match=f"no space left on the disk of {home}; make room there"):
        require_writable(home)


def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(UserError, match="read-only file system; set SYNAUG_HOME"):
        require_writable(tmp_path)


def test_errors_of_a_full_disk(tmp_path: Path) -> None:
    with full_disk(tmp_path / "home"), contextlib.closing(sqlite3.connect(tmp_path / "home" / "a.db")) as database:
        with pytest.raises(sqlite3.Error) as caught:
            database.execute("CREATE TABLE a AS SELECT 1")
        wrapped = RuntimeError("it failed")
        wrapped.__cause__ = caught.value
        assert is_disk_full(wrapped)
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(sqlite3.OperationalError("database is locked"))


def test_the_words_of_databases() -> None:
    assert says_full("(sqlite3.OperationalError) database or disk is full")
    assert not says_full("database is locked")
