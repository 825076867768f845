"""Runs `synaug` command lines in processes of their own that need not import its libraries first: each is forked from
this one, which has them. A child can be killed, limited and starved like any other process.

Reads a JSON object a line, answers with one: {"start": arguments, "environment", "folder", "out", "err"} gives {"pid"},
{"ended": pid} gives {"code"}, null while it runs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

LIBRARIES = (
    "mlflow", "mlflow.pyfunc", "flows.retrain", "matplotlib.figure", "pandas", "optuna", "sklearn.metrics",
    "pyarrow.parquet", "boto3", "psycopg", "synaug.cli.main", "torch", "tasks.promotion",
)  # fmt: skip


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            pid = os.fork()
            if pid == 0:
                become(asked)
            say({"pid": pid})
        else:
            pid, status = os.waitpid(asked["ended"], os.WNOHANG)
            say({"code": os.waitstatus_to_exitcode(status) if pid else None})


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def become(asked: dict[str, Any]) -> None:
    """Never comes back: the process ends with the command's exit code."""
    code = 70
    try:
        os.setsid()
        for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, asked["out"], 0o1101), (2, asked["err"], 0o1101)):
            os.dup2(os.open(path, flags, 0o644), number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        import tempfile

        from prefect.context import refresh_global_settings_context

        from synaug.cli.main import execute
        from synaug_core.services.settings import apply_environment, settings

        tempfile.tempdir = None
        settings().prefect_home.mkdir(parents=True, exist_ok=True)
        apply_environment(settings())  # before Prefect looks at them, as in a process that imports it later
        refresh_global_settings_context()
        code = execute(asked["start"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
