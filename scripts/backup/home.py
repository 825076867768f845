"""The embedded default's folder (SYNAUG_HOME) into a folder elsewhere while it is in use, and back to any place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.backup.manifest import check, read_manifest, write_manifest
from synaug.cli.output import filled_at_once
from synaug_core.errors import SynaugError, UserError
from synaug_core.services import places
from synaug_core.services.settings import Settings

__all__ = ["back_up_home", "restore_home"]

_KIND = "home"
_LEFT_OUT = {places.CACHE, places.MIRRORS, places.LOCKS, places.LOGS, places.STACK}
_DATABASES = (places.MLFLOW_DATABASE, f"{places.PREFECT}/{places.PREFECT_DATABASE}")
_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite's files end with."""


def back_up_home(current: Settings, target: Path) -> int:
    """Copy everything that cannot be made again; runs may go on meanwhile.

    The databases come first, each at one moment (SQLite's backup call); whatever they name is in the later copy of
    the files. A run in progress is in the copy as one that was killed: run again, it continues. Only the owner may
    enter the copy.

    Returns:
        The number of files.

    Raises:
        UserError: runs, artifacts, searches or results are not in this folder, there is nothing, or `target` is not
            empty.
        SynaugError: a database is damaged.
    """
    home = current.home
    _check_all_is_here(current)
    search = _search(current)
    databases = [*_DATABASES, *([search] if _is_database(current.tuning_storage) else [])]
    if target.resolve().is_relative_to(home):
        raise UserError(f"{target} lies in the folder that is to be backed up; give another place")
    with filled_at_once(target.absolute(), "backup", mode=0o700) as partial:
        for name in databases:
            if (home / name).exists():
                _copy_database(home / name, partial / name)
        for name in _names(home, {f"{database}{end}" for database in databases for end in _BESIDE}):
            _copy(home / name, partial / name)
        _drop_half_written(partial, None if search in databases else partial / search)
        facts = {"home": str(home), "synaug": metadata.version("synaug"), "mlflow": metadata.version("mlflow")}
        return write_manifest(partial, _KIND, facts)


def restore_home(backup: Path, home: Path, *, overwrite: bool = False) -> Path | None:
    """Make `home` what the backup holds; addresses in it follow where the folder is another than before.

    Returns:
        Where the folder that was there before has been put, or None.

    Raises:
        UserError: this is no backup of a home, or `home` is not empty and `overwrite` is not given.
        SynaugError: the backup is damaged.
    """
    manifest = read_manifest(backup, _KIND)
    check(backup, manifest)
    home = home.absolute()
    if home.exists() and (not home.is_dir() or any(home.iterdir())) and not overwrite:
        raise UserError(f"{home} is not empty; give another folder, or --overwrite to put it aside first")
    beside = home.with_name(f"{home.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        for name in manifest.files:
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(backup / name, beside / name)
        _move_addresses(beside, Path(manifest.facts["home"]), home)
        aside = _put_aside(home)
        beside.rename(home)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return aside


def _check_all_is_here(current: Settings) -> None:
    home = current.home
    if current.tracking_uri != f"sqlite:///{home / places.MLFLOW_DATABASE}":
        raise UserError("MLFLOW_TRACKING_URI: the runs are not in SYNAUG_HOME; back up that server or database instead")
    root = current.artifact_root or ""
    if "://" in root or not Path(root).is_relative_to(home):
        raise UserError(f"SYNAUG_ARTIFACT_ROOT: the artifacts are in {root}, not in SYNAUG_HOME; back up both places")
    if current.prefect_home != home / places.PREFECT:
        raise UserError(
            f"PREFECT_HOME: results of steps are in {current.prefect_home}, not in {home / places.PREFECT}; "
            "back that up by itself, and unset it for this command"
        )
    if not (home / places.MLFLOW_DATABASE).exists():
        raise UserError(f"SYNAUG_HOME: {home} holds no runs")


def _is_database(storage: str) -> bool:
    return "://" in storage


def _search(current: Settings) -> str:
    """The file that keeps the search for hyper-parameters, relative to the home.

    Raises:
        UserError: it is not in the home, or where nothing is copied from.
    """
    import sqlalchemy as sa

    file = current.tuning_storage
    if _is_database(file):
        url = sa.make_url(file)
        file = (url.database or "") if url.get_backend_name() == "sqlite" else ""
    place = Path(file).resolve()
    inner = place.relative_to(current.home).parts if place.is_relative_to(current.home) else ()
    if not file or not inner or inner[0] in _LEFT_OUT:
        raise UserError(
            "SYNAUG_TUNING_STORAGE: the search is not in SYNAUG_HOME, or in a folder of it that is left out; "
            "back that up by itself, and unset it for this command"
        )
    return "/".join(inner)


def _copy_database(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file; whoever opens it first may choose again
        [answer] = copy.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        raise SynaugError(f"{source} is damaged: {answer}")


def _names(home: Path, without: set[str]) -> Iterator[str]:
    """Files to copy, relative to the folder."""
    for folder, folders, files in os.walk(home):
        parent = Path(folder)
        if parent == home:
            folders[:] = sorted(set(folders) - _LEFT_OUT)
        for name in sorted(files):
            relative = (parent / name).relative_to(home).as_posix()
            passing = (parent / name).is_symlink() or name.endswith((".lock", ".part"))
            if relative not in without and not passing:
                yield relative


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
        shutil.copy2(source, target)


def _drop_half_written(copy: Path, journal: Path | None) -> None:
    """What was being written while it was copied: a result counts as none, a journal ends with its last whole line."""
    for file in _results(copy):
        try:
            json.loads(json.loads(file.read_bytes())["result"])
        except (ValueError, KeyError, TypeError):
            file.unlink()
    if journal is not None and journal.exists():
        content = journal.read_bytes()
        journal.write_bytes(content[: content.rfind(b"\n") + 1])


def _results(home: Path) -> list[Path]:
    folder = home / places.PREFECT / places.PREFECT_RESULTS
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _put_aside(home: Path) -> Path | None:
    if not home.exists():
        return None
    if not any(home.iterdir()):
        home.rmdir()
        return None
    aside = home.with_name(f"{home.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    home.rename(aside)
    return aside


def _move_addresses(copy: Path, before: Path, now: Path) -> None:
    """MLflow and the results of steps name files by absolute addresses."""
    if before == now:
        return
    prefixes = {f"{before.as_uri()}/": f"{now.as_uri()}/", f"{before}/": f"{now}/"}
    with contextlib.closing(sqlite3.connect(copy / places.MLFLOW_DATABASE)) as database, database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = database.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
            for column, kind in columns:
                if "CHAR" not in kind.upper() and "TEXT" not in kind.upper():
                    continue
                for old, new in prefixes.items():
                    # Names come from the database's own schema; values are bound.
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '
                        f'WHERE substr("{column}", 1, ?) = ?',
                        (new, len(old) + 1, len(old), old),
                    )
    for file in _results(copy):
        whole = json.loads(file.read_bytes())
        whole = _moved(whole, prefixes) | {"result": json.dumps(_moved(json.loads(whole["result"]), prefixes))}
        file.write_text(json.dumps(whole), encoding="utf-8")


def _moved(value: Any, prefixes: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _moved(inner, prefixes) for name, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, prefixes) for inner in value]
    if isinstance(value, str):
        for old, new in prefixes.items():
            if value.startswith(old):
                return new + value[len(old) :]
    return value
