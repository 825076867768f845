"""Runs command lines, one after the other, in one process with one embedded Prefect server: for tests that would
otherwise wait for libraries and server each time. Reads a JSON list of arguments a line, answers with a JSON object."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback

from synaug.cli import environment
from synaug.cli.failures import Session
from synaug.cli.main import execute


def main() -> None:
    answers = sys.stdout
    with environment.orchestrator(environment.prepare(Session())):
        for line in sys.stdin:
            out, err, code = io.StringIO(), io.StringIO(), -1
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    code = execute(json.loads(line))
                except BaseException:
                    traceback.print_exc()
            print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
