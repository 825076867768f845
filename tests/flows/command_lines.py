"""Runs command lines, one after the other, in one process with one embedded Prefect server: for tests that would
otherwise wait for libraries and server each time. Each line read is a JSON object with a number and a list of
arguments; the answer has the same number."""

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
            command, out, err, code = json.loads(line), io.StringIO(), io.StringIO(), -1
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    code = execute(command["arguments"])
                except BaseException:
                    traceback.print_exc()
            answer = {"number": command["number"], "code": code, "out": out.getvalue(), "err": err.getvalue()}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
