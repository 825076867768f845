"""S3 for tests: a real server, buckets of one test each, and a client that is not ours."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.s3 import swift
from tests.s3.faults import Faults, between

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Bucket:
    """A bucket of one test, reached by a client without retries."""

    name: str
    client: Any
    server: swift.Swift
    environment: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, body: bytes = b"x") -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def at(self, prefix: str = "") -> str:
        """The address that a user would give."""
        return f"s3://{self.name}/{prefix}" if prefix else f"s3://{self.name}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swift.Swift]:
    """A real S3 server for all tests of this process; skips where its packages are not installed."""
    environment = Path(os.environ.get("SYNAUG_TEST_SWIFT", ROOT / ".venv-swift"))
    if not (environment / "bin" / "swift-proxy-server").exists():
        pytest.skip(f"no S3 server in {environment}: `make .venv-swift/.ready` installs it")
    with swift.serving(environment, tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: swift.Swift, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket; the environment says where its server is and who may come in."""
    for name in [n for n in os.environ if n.startswith("AWS_") or n == "MLFLOW_S3_ENDPOINT_URL"]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return new_bucket(s3_server)


def new_bucket(server: swift.Swift) -> Bucket:
    """An empty bucket on the server."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
    )
    made = Bucket(f"b-{uuid.uuid4().hex[:12]}", client, server, server.environment)
    client.create_bucket(Bucket=made.name)
    return made


@pytest.fixture
def faults(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Something between the tests' server and its clients that breaks what it is told to break."""
    with between(bucket.server.endpoint) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", found.endpoint)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", found.endpoint)
        yield found


@pytest.fixture(scope="session")
def make_bucket(s3_server: swift.Swift) -> Callable[[], Bucket]:
    """Makes buckets for longer than a test; the environment is left alone."""
    return lambda: new_bucket(s3_server)
