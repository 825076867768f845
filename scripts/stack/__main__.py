"""`python -m scripts.stack up` runs the stack until Ctrl-C; `down` ends what a killed one left behind."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import psutil

from scripts.stack.native import Stack, running
from synaug.cli.servers import wait_for_any
from synaug_core.errors import SynaugError


def main() -> int:
    """Exit code: 0, or 1 with one line that says why."""
    parser = argparse.ArgumentParser(prog="python -m scripts.stack", description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--home", type=Path, default=Path(".synaug/stack"), help="folder of all state")
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--no-worker", action="store_true")
    given = parser.parse_args()
    if given.action == "down":
        return down(given.home.resolve())
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(sign, _interrupt)
    try:
        with running(
            given.home,
            mlflow_port=given.mlflow_port,
            prefect_port=given.prefect_port,
            worker=not given.no_worker,
            announce=lambda what: print(f"starting {what}", flush=True),
        ) as stack:
            print(_summary(stack), flush=True)
            ended = wait_for_any(stack.servers)
            print(f"stack: {ended.name} ended with code {ended.process.returncode}; its log: {ended.log}")
            return 1
    except KeyboardInterrupt:
        return 0
    except SynaugError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1


_WORDS = {"worker": "prefect worker", "reports": "prefect worker", "prefect": "prefect server"}
"""What the command lines of some processes hold, by the names of the files with their numbers."""


def down(home: Path) -> int:
    """End the processes whose numbers the folder keeps, where they still are what was started."""
    for file in sorted((home / "pids").glob("*"), key=lambda p: p.name == "postgres"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(file.read_text()))
            if _WORDS.get(file.name, file.name) in _command(process):
                _end(process, alone=file.name == "postgres")
                print(f"stopped {file.name}")
        file.unlink(missing_ok=True)
    for process in psutil.process_iter():  # the S3 server's have their configuration in this folder; nobody else's do
        with contextlib.suppress(psutil.Error):
            if f"{home}/s3/etc/" in _command(process):
                process.kill()
                print("stopped S3")
    return 0


def _command(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _end(process: psutil.Process, alone: bool) -> None:
    """Ask a process to end, and kill it after ten seconds. `alone`: it ends its own children, as PostgreSQL does."""
    with contextlib.suppress(ProcessLookupError):
        (os.kill if alone else os.killpg)(process.pid, signal.SIGINT if alone else signal.SIGTERM)
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _summary(stack: Stack) -> str:
    return f"""
MLflow   {stack.mlflow}   (user admin, password in {stack.home}/secrets/mlflow_admin)
Prefect  {stack.prefect}   (sign in with the line in {stack.home}/secrets/prefect_auth)
S3       {stack.s3}, bucket synaug
logs     {stack.home}/logs

In another terminal:
  . {stack.home}/client.env
  synaug deploy synaug/cli/digits.yaml
  prefect deployment run retrain/digits
Ctrl-C stops everything; the state stays.
"""


if __name__ == "__main__":
    sys.exit(main())
