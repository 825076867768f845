"""The services of docker/compose.yaml as processes on loopback, by the same entrypoint scripts: for tests, and for
people without Docker. S3 is the server of the tests (OpenStack Swift), everything else the real thing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.stack import postgres
from synaug.cli.servers import Server, free_port, start, wait_until_ready
from synaug_core.errors import SynaugError, UserError

__all__ = ["ROOT", "Stack", "alone", "running", "s3_server", "set_up"]

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINTS = ROOT / "docker" / "entrypoints"
BUCKET = "synaug"
ROLES = ("MLFLOW", "PREFECT", "TUNING")


@dataclass(frozen=True)
class Stack:
    """What runs.

    Attributes:
        home: folder of all state, logs and secrets.
        mlflow, prefect: addresses of the two pages.
        postgres: HOST:PORT.
        s3: address of the S3 server.
        environment: what a client needs to be told; secrets included.
        servers: the processes that were started here, PostgreSQL and S3 apart.
    """

    home: Path
    mlflow: str
    prefect: str
    postgres: str
    s3: str
    environment: Mapping[str, str]
    servers: list[Server] = field(default_factory=list)


@contextlib.contextmanager
def running(
    home: Path,
    *,
    mlflow_port: int = 5000,
    prefect_port: int = 4200,
    worker: bool = True,
    announce: Callable[[str], None] = print,
) -> Iterator[Stack]:
    """Run all services as long as the block. A port that is taken is passed over for the next free one.

    Args:
        home: folder of the state; it may be used again, never by two at once.
        mlflow_port: where the search for MLflow's port begins.
        prefect_port: the same for Prefect's.
        worker: start a worker too.
        announce: called with the name of what is being started.

    Raises:
        UserError: something that is needed is not installed, or another stack uses the folder.
        SynaugError: a service did not start; the line names its log.
    """
    home = home.resolve()
    for name in ("logs", "pids", "worker"):
        (home / name).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as running, alone(home):
        stack = _start(home, mlflow_port, prefect_port, running, announce)
        if worker:
            from deployments.plan import QUEUE

            announce("workers")
            stack.servers.append(running.enter_context(_worker(stack, "worker", 8081)))
            stack.servers.append(running.enter_context(_worker(stack, "reports", 8181, SYNAUG_QUEUE=QUEUE)))
            wait_until_ready(stack.servers[-2:], 240)
        _write(home / "client.env", stack.environment)
        yield stack


def _start(
    home: Path, mlflow_port: int, prefect_port: int, running: contextlib.ExitStack, announce: Callable[[str], None]
) -> Stack:
    subprocess.run(["/bin/sh", str(ENTRYPOINTS / "secrets.sh"), str(home / "secrets")], check=True)
    secrets = home / "secrets"
    announce("PostgreSQL")
    database = running.enter_context(postgres.running(home / "postgres", free_port(15432), secrets / "postgres"))
    announce("S3")
    store = running.enter_context(s3_server(home))
    mlflow_port, prefect_port = free_port(mlflow_port), free_port(prefect_port)
    stack = Stack(
        home,
        f"http://127.0.0.1:{mlflow_port}",
        f"http://127.0.0.1:{prefect_port}",
        database,
        store.endpoint,
        {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow_port}",
            "MLFLOW_TRACKING_USERNAME": "worker",
            "MLFLOW_TRACKING_PASSWORD": (secrets / "mlflow_worker").read_text(),
            "PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api",
            "PREFECT_API_AUTH_STRING": (secrets / "prefect_auth").read_text(),
            "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "synaug-s3/results",
            "SYNAUG_TUNING_STORAGE": f"postgresql+psycopg://tuning@{database}/tuning",
            "PGPASSWORD": (secrets / "tuning_db").read_text(),
            **store.environment,
        },
    )
    announce("databases and bucket")
    set_up(stack, "stores", PGPASSWORD_FILE="postgres")
    announce("MLflow and Prefect")
    common = {"SYNAUG_PG": database, "SYNAUG_BUCKET": BUCKET}
    mlflow = {
        "PGPASSWORD_FILE": str(secrets / "mlflow_db"),
        "MLFLOW_AUTH_ADMIN_PASSWORD_FILE": str(secrets / "mlflow_admin"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY_FILE": str(secrets / "mlflow_flask"),
        "SYNAUG_PORT": str(mlflow_port),
        "SYNAUG_WORKERS": "1",
        **store.environment,
    }
    prefect = {
        "PGPASSWORD_FILE": str(secrets / "prefect_db"),
        "PREFECT_SERVER_API_AUTH_STRING_FILE": str(secrets / "prefect_auth"),
        "PREFECT_API_URL": f"{stack.prefect}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": stack.prefect,
        "SYNAUG_PORT": str(prefect_port),
    }
    for name, own, health in (
        ("mlflow", mlflow, f"{stack.mlflow}/health"),
        ("prefect", prefect, f"{stack.prefect}/api/health"),
    ):
        environment = _environment(home, {**common, **own})
        stack.servers.append(running.enter_context(_entrypoint(home, name, environment, health)))
    wait_until_ready(stack.servers, 300)
    set_up(stack, "services", MLFLOW_AUTH_ADMIN_PASSWORD_FILE="mlflow_admin")
    return stack


def s3_server(home: Path) -> contextlib.AbstractContextManager[Any]:
    """Swift with its objects below `home`, while the context lasts."""
    environment = ROOT / ".venv-swift"
    if not (environment / "bin" / "swift-proxy-server").exists():
        raise UserError(f"no S3 server in {environment}: `make .venv-swift/.ready` installs it")
    # By its path: installed packages bring a package `tests` of their own.
    spec = importlib.util.spec_from_file_location("synaug_tests_swift", ROOT / "tests" / "s3" / "swift.py")
    if spec is None or spec.loader is None:
        raise SynaugError("tests/s3/swift.py is missing")
    swift = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = swift  # its dataclasses look themselves up
    spec.loader.exec_module(swift)
    serving: contextlib.AbstractContextManager[Any] = swift.serving(environment, home / "s3")
    return serving


def set_up(stack: Stack, what: str, **files: str) -> None:
    """Run setup.sh; `files` names secrets by variable."""
    given = {name: str(stack.home / "secrets" / file) for name, file in files.items()}
    roles = {f"{role}_DB_PASSWORD_FILE": str(stack.home / "secrets" / f"{role.lower()}_db") for role in ROLES}
    client = {k: v for k, v in stack.environment.items() if f"{k}_FILE" not in given}
    environment = _environment(
        stack.home, {**client, **roles, **given, "SYNAUG_PG": stack.postgres, "SYNAUG_BUCKET": BUCKET}
    )
    log = stack.home / "logs" / "setup.log"
    with log.open("ab") as output:
        command = ["/bin/sh", str(ENTRYPOINTS / "setup.sh"), what]
        done = subprocess.run(command, env=environment, cwd=stack.home, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        raise SynaugError(f"setup.sh {what} ended with code {done.returncode}; its log: {log}")


def _worker(stack: Stack, name: str, first_port: int, **variables: str) -> contextlib.AbstractContextManager[Server]:
    port = free_port(first_port)
    own = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port), **variables}
    environment = _environment(stack.home, {**stack.environment, **own, "SYNAUG_HOME": str(stack.home / "worker")})
    return _entrypoint(stack.home, name, environment, f"http://127.0.0.1:{port}/health", script="worker")


def _entrypoint(
    home: Path, name: str, environment: Mapping[str, str], health: str, script: str | None = None
) -> contextlib.AbstractContextManager[Server]:
    @contextlib.contextmanager
    def running() -> Iterator[Server]:
        command, log = ["/bin/sh", str(ENTRYPOINTS / f"{script or name}.sh")], home / "logs" / f"{name}.log"
        pid = home / "pids" / name
        with start(name, command, environment, url=health, health=health, log=log) as server:
            pid.write_text(str(server.process.pid))
            try:
                yield server
            finally:
                pid.unlink(missing_ok=True)

    return running()


def _environment(home: Path, own: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process without its own services, ours on top."""
    prefixes = ("AWS_", "MLFLOW_", "PREFECT_", "SYNAUG_", "PG")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    (home / "tmp").mkdir(exist_ok=True)
    return {
        **inherited,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "PREFECT_HOME": str(home / "prefect"),
        "TMPDIR": str(home / "tmp"),
        "NO_PROXY": "127.0.0.1",
        **own,
    }


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """One stack in a folder at a time."""
    from filelock import FileLock, Timeout

    lock = FileLock(home / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"a stack runs in {home}; stop it first, or give another folder") from error
    try:
        yield
    finally:
        lock.release()


def _write(file: Path, environment: Mapping[str, str]) -> None:
    """For a shell: `. FILE`. It holds secrets."""
    import shlex

    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text("".join(f"export {k}={shlex.quote(v)}\n" for k, v in environment.items()))
    new.replace(file)
