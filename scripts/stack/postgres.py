"""A PostgreSQL server of our own on loopback, from the binaries that the system has."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synaug_core.errors import SynaugError, UserError

__all__ = ["binaries", "running"]

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
dynamic_shared_memory_type = mmap
"""


def binaries() -> Path:
    """The folder of `postgres` and `initdb`: on PATH, or where Debian and Ubuntu put the newest one.

    Raises:
        UserError: there is none.
    """
    if program := shutil.which("initdb"):
        return Path(program).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if not installed:
        raise UserError("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql); 14 or newer is needed")
    return installed[-1].parent


@contextlib.contextmanager
def running(home: Path, port: int, password_file: Path) -> Iterator[str]:
    """Run the server as long as the block, its data below `home`; gives HOST:PORT.

    Raises:
        UserError: it cannot run as root, and the user `postgres` is missing or cannot enter the folder.
        SynaugError: it did not start; the line names its log.
    """
    programs, log = binaries(), home.parent / "logs" / "postgres.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    who = _user(home)
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _make(programs, home, password_file, who)
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home, start_new_session=True, **who
        )
    try:
        ready = [str(programs / "pg_isready"), "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(120):
            if subprocess.run(ready, check=False).returncode == 0 and server.poll() is None:
                break
            if server.poll() is not None:
                raise SynaugError(f"PostgreSQL ended with code {server.returncode}; its log: {log}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.25)
        else:
            raise SynaugError(f"PostgreSQL did not answer within 30 s; its log: {log}")
        (home.parent / "pids" / "postgres").write_text(str(server.pid))
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # ends connections and writes all to disk; TERM would wait for clients
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait(10)
        (home.parent / "pids" / "postgres").unlink(missing_ok=True)


def _user(home: Path) -> dict[str, Any]:
    """Arguments of Popen: PostgreSQL refuses to run as root, so root lends it the system's user."""
    home.mkdir(parents=True, exist_ok=True)
    if os.getuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError as error:
        raise UserError("PostgreSQL does not run as root and there is no user `postgres`; use another user") from error
    os.chown(home, account.pw_uid, account.pw_gid)
    home.chmod(0o700)
    who: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    if subprocess.run(["/usr/bin/test", "-w", str(home)], check=False, **who).returncode != 0:
        raise UserError(f"the user `postgres` cannot enter {home}; give a folder below one that all may enter")
    return who


def _make(programs: Path, home: Path, password_file: Path, who: dict[str, Any]) -> None:
    own = home / "password"
    own.unlink(missing_ok=True)
    own.touch(mode=0o600)  # before the password is in it
    own.write_text(password_file.read_text())
    if who:
        os.chown(own, who["user"], who["group"])
    command = [str(programs / "initdb"), "-D", str(home / "data"), "-U", "postgres", "--auth=scram-sha-256"]
    command += [f"--pwfile={own}", "-E", "UTF8", "--locale=C.UTF-8"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=home, **who)
    finally:
        own.unlink()
    if done.returncode != 0:
        raise SynaugError(f"initdb ended with code {done.returncode}: {done.stderr.strip()[-400:]}")
    with (home / "data" / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS)
