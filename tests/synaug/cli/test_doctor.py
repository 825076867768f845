"""What the doctor says of servers, asked of real ones."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synaug.cli import checks
from synaug_core.errors import SynaugError
from synaug_core.services.health import clock_difference, try_store
from synaug_core.services.settings import Settings, settings
from tests.mlflow_server import mlflow_server

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def set_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with these variables in this process's environment."""
    from mlflow.store.artifact.s3_artifact_repo import _cached_get_s3_client

    # Both would keep the credentials of the test before.
    _cached_get_s3_client.cache_clear()
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)

    def make(**variables: str) -> Settings:
        home.mkdir(exist_ok=True)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return settings()

    return make


def test_a_folder_of_artifacts_and_a_file_of_trials_need_no_check(set_up: Callable[..., Settings]) -> None:
    current = set_up()
    assert checks.check_store(current) is None
    assert checks.check_tuning(current) is None
    assert checks.check_mlflow(current).is_well


def test_proxies_are_shown_without_their_passwords(set_up: Callable[..., Settings]) -> None:
    assert "proxy" not in {check.name for check in [checks._proxy(set_up())] if check}
    found = checks._proxy(set_up(HTTPS_PROXY="http://me:secret@proxy.example:3128"))
    assert found is not None
    assert found.is_well
    assert found.status.startswith("HTTPS_PROXY http://")
    assert "secret" not in found.status
    assert found.status.endswith("proxy.example:3128; not for this machine's own servers")


def test_a_bucket_is_written_read_and_left_as_it_was(bucket: Any, set_up: Callable[..., Settings]) -> None:
    bucket.put("runs/mine")
    found = checks.check_store(set_up(SYNAUG_ARTIFACT_ROOT=bucket.at("runs")))
    assert found is not None
    assert found.is_well, found
    assert found.status.startswith(f"{bucket.at('runs')} can be written and read")
    assert bucket.keys() == ["runs/mine"]


@pytest.mark.parametrize(
    ("variables", "line", "mend"),
    [
        ({"SYNAUG_ARTIFACT_ROOT": "s3://no-such-bucket"}, "there is no bucket 'no-such-bucket'", "make the bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "hunter2-hunter2"}, "no access", "set both anew"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "no access", ""),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials", "set AWS_ACCESS_KEY_ID"),
        ({"MLFLOW_S3_ENDPOINT_URL": NOBODY, "AWS_ENDPOINT_URL_S3": NOBODY}, "does not answer", "start the S3 server"),
    ],
)
def test_each_trouble_with_s3_has_its_mend(
    bucket: Any,
    set_up: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    line: str,
    mend: str,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (n for n, value in variables.items() if not value):
        monkeypatch.delenv(name, raising=False)
    given = {"SYNAUG_ARTIFACT_ROOT": bucket.at("runs")} | {k: v for k, v in variables.items() if v}
    found = checks.check_store(set_up(**given))
    assert found is not None
    assert not found.is_well
    assert line in found.status
    assert mend in found.mend
    assert "hunter2" not in found.status + found.mend


class Late(http.server.BaseHTTPRequestHandler):
    """A server whose clock is an hour behind."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        import time

        return super().date_time_string(time.time() - 3600)

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def certified(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody else signed, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = folder / "own.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", str(folder / "public.pem")]
    subprocess.run(make, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "public.pem").read_text())
    return file


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_clocks_are_compared(set_up: Callable[..., Settings], tmp_path: Path, scheme: str) -> None:
    own: dict[str, str] = {}
    with socketserver.TCPServer(("127.0.0.1", 0), Late) as server:
        if scheme == "https":
            own = {"AWS_CA_BUNDLE": str(certified(tmp_path))}
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(own["AWS_CA_BUNDLE"])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        current = set_up(
            **own,
            MLFLOW_S3_ENDPOINT_URL=f"{scheme}://127.0.0.1:{server.server_address[1]}",
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
            AWS_DEFAULT_REGION="us-east-1",
        )
        ahead = clock_difference(current, "s3://bucket/x")
        server.shutdown()
    assert ahead == pytest.approx(3600, abs=60)
    assert clock_difference(current, "mlflow-artifacts:/1") is None


class Failing(http.server.BaseHTTPRequestHandler):
    """A proxy of artifacts that takes and gives, and fails when it is to delete."""

    kept = b""

    def do_PUT(self) -> None:
        type(self).kept = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"{}")

    def do_GET(self) -> None:
        self._answer(200, b'{"files": []}' if "?" in self.path else self.kept)

    def do_DELETE(self) -> None:
        self._answer(500, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_number_in_an_address_is_no_answer(set_up: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socketserver.TCPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        current = set_up(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(SynaugError, match="500"):
            try_store(current, "mlflow-artifacts:/403")
        found = checks.check_mlflow(set_up(MLFLOW_TRACKING_URI=f"{current.tracking_uri}/401"))
        server.shutdown()
    assert not found.is_well
    assert "refuses" not in found.status


def test_a_check_that_fails_is_in_the_log(
    set_up: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Settings) -> None:
        raise RuntimeError("http://me:hunter2@host has\nlost its head")

    monkeypatch.setattr(checks, "check_store", fail)
    [found] = [check for check in checks.run_checks(set_up()) if not check.is_well and check.name == "fail"]
    assert found.mend == "see the line before this one, and the log"
    assert "lost its head" in caplog.text
    assert "Traceback" in caplog.text
    assert "hunter2" not in caplog.text + found.status


def test_no_connection_stays_open(
    set_up: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    ended: list[object] = []
    dispose = sa.Engine.dispose
    monkeypatch.setattr(sa.Engine, "dispose", lambda engine: ended.append(engine) or dispose(engine))
    ill = checks.check_tuning(set_up(SYNAUG_TUNING_STORAGE=f"sqlite:///{tmp_path}/nowhere/x.db"))
    assert ill is not None
    assert not ill.is_well
    assert len(ended) == 1


def test_the_database_of_searches(set_up: Callable[..., Settings], tmp_path: Path) -> None:
    well = checks.check_tuning(set_up(SYNAUG_TUNING_STORAGE=f"sqlite:///{tmp_path}/x.db"))
    assert well is not None
    assert well.is_well, well
    ill = checks.check_tuning(set_up(SYNAUG_TUNING_STORAGE="postgresql+psycopg://me:hunter2@127.0.0.1:9/x"))
    assert ill is not None
    assert "PGPASSWORD" in ill.mend
    assert "hunter2" not in ill.status
    no_driver = checks.check_tuning(set_up(SYNAUG_TUNING_STORAGE="mysql://me@127.0.0.1:9/x"))
    assert no_driver is not None
    assert "is not installed" in no_driver.status


@pytest.mark.parametrize(
    ("ours", "theirs", "well"),
    [
        *[("3.8.8", "3.8.8", True), ("3.8.8", "3.9.0", True), ("3.8.8", "3.8.1", True), ("3.8.8", "3.7.9", False)],
        *[("3.8.8", "4.0.0", False), ("3.8.8", "nonsense", False)],
    ],
)
def test_a_client_is_not_newer_than_its_server(ours: str, theirs: str, well: bool) -> None:
    assert (checks._versions("MLflow", ours, theirs) == "") is well


@pytest.fixture
def guarded_mlflow(tmp_path: Path, home: Path) -> Iterator[str]:
    """A real MLflow that lets nobody in without a password."""
    pytest.importorskip("flask_wtf")
    (tmp_path / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = EDIT\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\nadmin_username = admin\nadmin_password = a-long-password\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    options = ("--app-name", "basic-auth", "--artifacts-destination", str(tmp_path / "store"))
    own = {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 20}
    with mlflow_server(tmp_path, *options, **own) as address:
        yield address


@pytest.mark.slow
def test_mlflow_with_passwords(guarded_mlflow: str, set_up: Callable[..., Settings]) -> None:
    refused = checks.check_mlflow(set_up(MLFLOW_TRACKING_URI=guarded_mlflow))
    assert "refuses these credentials" in refused.status
    assert "MLFLOW_TRACKING_PASSWORD" in refused.mend
    current = set_up(MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD="a-long-password")
    well = checks.check_mlflow(current)
    assert well.is_well, well
    assert "server 3." in well.status
    login = base64.b64encode(b"admin:a-long-password").decode()
    request = urllib.request.Request(
        f"{guarded_mlflow}/api/2.0/mlflow/users/create",
        data=json.dumps({"username": "worker", "password": "another-password"}).encode(),
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    for name, password in (("admin", "a-long-password"), ("worker", "another-password")):
        kept = checks.check_store(set_up(MLFLOW_TRACKING_USERNAME=name, MLFLOW_TRACKING_PASSWORD=password))
        assert kept is not None
        assert kept.is_well, kept


@pytest.mark.slow
def test_prefect_with_a_password(home: Path, set_up: Callable[..., Settings], tmp_path: Path) -> None:
    code = f"""
import os
from synaug_core.services.settings import apply_environment, settings
apply_environment(settings())
from flows.embedded import api_server, wait_until_ready
from pathlib import Path
guarded = dict(os.environ, PREFECT_SERVER_API_AUTH_STRING="admin:hunter2")
with api_server(Path({str(tmp_path / "log")!r}), guarded) as server:
    wait_until_ready(server)
    os.environ["PREFECT_API_URL"] = server.url
    from synaug.cli import checks
    print(checks.check_prefect(settings()))
    os.environ["PREFECT_API_AUTH_STRING"] = "admin:hunter2"
    from prefect.context import refresh_global_settings_context
    refresh_global_settings_context()
    print(checks.check_prefect(settings()))
"""
    set_up()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    refused, well = done.stdout.splitlines()
    assert "refuses these credentials" in refused
    assert "PREFECT_API_AUTH_STRING" in refused
    assert "mend=''" in well
    assert ", server 3." in well
    assert "hunter2" not in done.stdout
