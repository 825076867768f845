"""The native stack's databases and bucket into a folder, and back into an empty stack.

The databases come first, each by `pg_dump`, then the bucket: every artifact they name is in the later copy.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from scripts.backup.manifest import check, read_manifest, write_manifest
from scripts.backup.stores import stores
from scripts.stack import postgres
from scripts.stack.native import BUCKET
from synaug.cli.output import filled_at_once
from synaug_core.atomic_files import atomic_write
from synaug_core.errors import SynaugError, UserError
from synaug_core.s3_address import S3Address
from synaug_core.services.s3.client import explaining
from synaug_core.services.settings import settings

__all__ = ["DATABASES", "back_up_stack", "restore_stack"]

_KIND = "stack"
DATABASES = {"mlflow": "mlflow", "mlflow_auth": "mlflow", "prefect": "prefect", "tuning": "tuning"}
"""Database -> the role that owns what is in it."""
_AT_ONCE = 8
_MISSING_CODES = {"404", "NoSuchKey"}


def back_up_stack(home: Path, target: Path) -> int:
    """Copy the databases and the bucket of the stack that runs in `home`, and give the number of files. Only the owner
    may enter the copy.

    Raises:
        UserError: no stack runs there, or `target` is not empty.
        SynaugError: a database or the store fails.
    """
    stack = _read_access(home)
    address = urlsplit(stack["SYNAUG_TUNING_STORAGE"]).netloc.rpartition("@")[2]
    with filled_at_once(target.absolute(), "backup", mode=0o700) as partial:
        (partial / "databases").mkdir()
        for name in DATABASES:
            _postgres(home, address, "pg_dump", "-Fc", "-d", name, "-f", str(partial / "databases" / f"{name}.dump"))
        _download(_client(stack), partial / "bucket")
        return write_manifest(partial, _KIND, {"bucket": BUCKET})


def restore_stack(backup: Path, home: Path, *, overwrite: bool = False) -> None:
    """Fill the stack of `home`, which must not run, from a backup. Passwords stay what they are in `home`.

    Raises:
        UserError: this is no backup of a stack, a stack runs there, or it has runs and `overwrite` is not given.
        SynaugError: the backup is damaged, or a service fails.
    """
    manifest = read_manifest(backup, _KIND)
    check(backup, manifest)
    with stores(home) as (address, environment):
        client = _client(environment)
        if not overwrite and (_has_tables(home, address) or _keys(client)):
            raise UserError(f"the stack in {home} is not empty; give another folder, or --overwrite to replace it all")
        for name, role in DATABASES.items():
            _postgres(home, address, "dropdb", "--if-exists", "--force", name)
            _postgres(home, address, "createdb", "-O", role, name)
            dump = str(backup / "databases" / f"{name}.dump")
            _postgres(home, address, "pg_restore", "--no-owner", "--no-acl", f"--role={role}", "-d", name, dump)
        with _explaining(client):
            for key in _keys(client):
                client.delete_object(Bucket=BUCKET, Key=key)
        _upload(client, backup / "bucket")


def _read_access(home: Path) -> dict[str, str]:
    """What the running stack tells its clients."""
    file = home / "client.env"
    if not file.exists() or not (home / "pids" / "postgres").exists():
        raise UserError(f"no stack runs in {home}; start it with `make stack`, or give its folder")
    words = shlex.split(file.read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def _postgres(home: Path, address: str, program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs as its administrator; the password travels in the environment."""
    host, _, port = address.rpartition(":")
    command = [str(postgres.binaries() / program), "-h", host, "-p", port, "-U", "postgres", *arguments]
    environment = {**os.environ, "PGPASSWORD": (home / "secrets" / "postgres").read_text().strip()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SynaugError(f"{program} ended with code {done.returncode}: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout


def _has_tables(home: Path, address: str) -> bool:
    count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    return any(int(_postgres(home, address, "psql", "-At", "-d", name, "-c", count)) for name in DATABASES)


def _client(environment: Mapping[str, str]) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment.get("AWS_DEFAULT_REGION", "us-east-1"),
    )


def _explaining(client: Any) -> AbstractContextManager[None]:
    """What boto3 raises within the block becomes one line."""
    return explaining(S3Address(BUCKET, ""), settings({"MLFLOW_S3_ENDPOINT_URL": client.meta.endpoint_url}))


def _keys(client: Any) -> list[str]:
    with _explaining(client):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _download(client: Any, folder: Path) -> None:
    """Each object as a file; a name that no file can have is written with escapes."""
    from botocore.exceptions import ClientError

    folder.mkdir()

    def fetch(key: str) -> None:
        place = folder / _file(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_write(place) as part:
                client.download_file(BUCKET, key, str(part))
        except ClientError as error:
            # deleted since it was listed: nothing names it any more
            if error.response["Error"]["Code"] not in _MISSING_CODES:
                raise

    with _explaining(client), ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch, _keys(client)))


def _upload(client: Any, folder: Path) -> None:
    files = [p for p in folder.rglob("*") if p.is_file()]
    with _explaining(client), ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda p: client.upload_file(str(p), BUCKET, _key(p.relative_to(folder).as_posix())), files))


_NO_NAMES = {"": "%", ".": "%.", "..": "%.."}
_AS_FILES = {file: part for part, file in _NO_NAMES.items()}


def _file(key: str) -> str:
    """The file's name for an object: parts that no file can be called have a % before them."""
    return "/".join(_NO_NAMES.get(part) or quote(part, safe=" ()=+,@~!'") for part in key.split("/"))


def _key(file: str) -> str:
    return "/".join(_AS_FILES[part] if part in _AS_FILES else unquote(part) for part in file.split("/"))
