"""The servers of a team, each of which can be killed and brought back where it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.stack import postgres
from synaug_core.errors import SynaugError
from tests.environments import without_services
from tests.s3 import swift
from tests.s3.faults import Faults, between

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "synaug"
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_UI_ENABLED": "0", "NO_PROXY": "127.0.0.1",
}  # fmt: skip


@dataclass
class Server:
    """A process that is started again by the same command; killed, it goes with all that it started."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd=self.log.parent,
            )  # fmt: skip

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def heal(self) -> None:
        """Running and answering, whatever was done to it."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        wait_for(self.health, self.log)


@dataclass
class Database:
    """PostgreSQL; killed is its postmaster, and the rest of it ends when it sees that."""

    home: Path
    port: int
    password: Path
    _inside: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _runs: bool = False

    @property
    def address(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}"

    def kill(self) -> None:
        if self._runs:
            pid = int((self.home.parent / "pids" / "postgres").read_text())
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # as a zombie it would still hold its lock file
            self._runs = False

    def heal(self) -> None:
        end = time.monotonic() + 60
        while not self._runs:
            try:
                self._inside.enter_context(postgres.running(self.home, self.port, self.password))
                self._runs = True
            except SynaugError:  # what is left of the last one still ends
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        self._inside.close()

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        address = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, password=self.password.read_text(), autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


@dataclass
class Store:
    """OpenStack Swift's four processes. `keys` can be exchanged while it runs, as when they expire."""

    home: Path
    server: swift.Swift
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill(self, *names: str) -> None:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if any(f"{self.home}/etc/{n}.conf" in command for n in names or swift_servers()):
                    os.kill(int(entry.name), signal.SIGKILL)
        for process in self.started:
            if process.poll() is None and not names:
                process.wait(10)

    def heal(self) -> None:
        running = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if _readable(p)]
        for name in swift_servers():
            place = f"{self.home}/etc/{name}.conf"
            if not any(place.encode() in command for command in running):
                with (self.home / "log" / name).open("ab") as log:
                    command = [str(ROOT / ".venv-swift" / "bin" / f"swift-{name}-server"), place]
                    self.started.append(
                        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=self.home)
                    )
        wait_for(f"{self.server.endpoint}/healthcheck", self.home / "log" / "proxy")

    def change_secret(self, secret: str) -> None:
        """The account's secret is another from now on."""
        place = self.home / "etc" / "proxy.conf"
        lines = place.read_text().splitlines()
        user = f"user_{swift.ACCESS.replace(':', '_')} = "
        place.write_text("".join(f"{user}{secret} .admin\n" if x.startswith(user) else f"{x}\n" for x in lines))
        self.kill("proxy")
        time.sleep(0.2)
        self.heal()

    def stop(self) -> None:
        self.kill()


@dataclass
class Servers:
    """All of them; clients and MLflow reach S3 through `s3`, and clients reach MLflow through `mlflow_proxy`."""

    home: Path
    database: Database
    store: Store
    s3: Faults
    mlflow: Server
    mlflow_proxy: Faults
    prefect: Server

    def heal(self) -> None:
        for faults in (self.s3, self.mlflow_proxy):
            faults.plan.clear()
        for one in (self.database, self.store, self.mlflow, self.prefect):
            one.heal()

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to be told."""
        return {
            **self.store.server.environment,
            "AWS_ENDPOINT_URL_S3": self.s3.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.s3.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "MLFLOW_TRACKING_URI": self.mlflow_proxy.endpoint,
            "PREFECT_API_URL": self.prefect.health.removesuffix("/health"),
            "SYNAUG_TUNING_STORAGE": f"{self.database.address}/tuning",
            "PGPASSWORD": self.database.password.read_text(),
            "NO_PROXY": "127.0.0.1",
        }


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Servers]:
    """Start all below `home`, which the user `postgres` must be able to enter."""
    for name in ("logs", "pids", "postgres"):
        (home / name).mkdir()
    password = home / "password"
    password.write_text("a-password-of-tests")
    with contextlib.ExitStack() as running:
        ports = swift.free_ports(3)
        database = Database(home / "postgres", ports[0], password)
        running.callback(database.stop)
        database.heal()
        for name in ("mlflow", "prefect", "tuning"):
            database.ask(f"CREATE DATABASE {name}")
        served = running.enter_context(swift.serving(ROOT / ".venv-swift", home / "s3"))
        store = Store(home / "s3", served)
        running.callback(store.stop)
        s3 = running.enter_context(between(served.endpoint))
        client(served).create_bucket(Bucket=BUCKET)
        base = without_services() | _QUIET
        address = f"http://127.0.0.1:{ports[1]}"
        mlflow = Server(
            "mlflow",
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"),
                *("--port", str(ports[1]), "--backend-store-uri", f"{database.address}/mlflow"),
                *("--serve-artifacts", "--artifacts-destination", f"s3://{BUCKET}/mlflow"),
            ],
            {
                **base, **served.environment, "AWS_ENDPOINT_URL_S3": s3.endpoint,
                "MLFLOW_S3_ENDPOINT_URL": s3.endpoint, "PGPASSWORD": password.read_text(),
            },
            f"{address}/health",
            home / "logs" / "mlflow.log",
        )  # fmt: skip
        prefect = Server(
            "prefect",
            [
                *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
                *("--host", "127.0.0.1", "--port", str(ports[2]), "--log-level", "error", "--lifespan", "on"),
            ],
            {
                **base,
                "PREFECT_HOME": str(home / "prefect"),
                "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://postgres:{password.read_text()}"
                f"@127.0.0.1:{ports[0]}/prefect",
            },
            f"http://127.0.0.1:{ports[2]}/api/health",
            home / "logs" / "prefect.log",
        )
        for server in (mlflow, prefect):
            running.callback(server.kill)
            server.start()
        for server in (mlflow, prefect):
            wait_for(server.health, server.log)
        mlflow_proxy = running.enter_context(between(address))
        yield Servers(home, database, store, s3, mlflow, mlflow_proxy, prefect)


def client(server: swift.Swift) -> Any:
    """A boto3 client past all proxies."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=server.endpoint, aws_access_key_id=server.access, aws_secret_access_key=server.secret,
        region_name="us-east-1",
    )  # fmt: skip


def swift_servers() -> tuple[str, ...]:
    return ("object", "container", "account", "proxy")


def wait_for(health: str, log: Path, seconds: float = 150.0) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), opener.open(health, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{health} does not answer: {log.read_text()[-2000:]}")


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
