"""`python -m scripts.stack up` runs the stack until Ctrl-C; `down` ends what a killed one left behind."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

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
            say=lambda what: print(f"starting {what}", flush=True),
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


def down(home: Path) -> int:
    """End the processes whose numbers the folder keeps, where they still are what was started."""
    for file in sorted((home / "pids").glob("*"), key=lambda p: p.name == "postgres"):
        pid = int(file.read_text())
        if _is_ours(pid, file.name):
            sign = signal.SIGINT if file.name == "postgres" else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError):
                (os.kill if file.name == "postgres" else os.killpg)(pid, sign)
            for _ in range(100):
                if not Path(f"/proc/{pid}").exists():
                    break
                time.sleep(0.1)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            print(f"stopped {file.name}")
        file.unlink(missing_ok=True)
    _end_s3(home)
    return 0


def _end_s3(home: Path) -> None:
    """The S3 server's processes have their configuration in this folder; nobody else's do."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{home}/s3/etc/" in (entry / "cmdline").read_bytes().decode(errors="replace"):
                os.kill(int(entry.name), signal.SIGKILL)
                print("stopped S3")


def _is_ours(pid: int, name: str) -> bool:
    """A number may be another process's by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return False
    return {"worker": "prefect worker", "prefect": "prefect server"}.get(name, name) in command


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
