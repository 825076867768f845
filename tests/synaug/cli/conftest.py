from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from synaug.cli.main import execute


class Said(NamedTuple):
    """What one command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def synaug(home: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Said]]:
    """Runs command lines in this process; what they set of environment and logging is undone."""
    variables, handlers, level = dict(os.environ), logging.root.handlers[:], logging.root.level

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = execute([str(a) for a in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield run
    logging.captureWarnings(False)
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    os.environ.clear()
    os.environ.update(variables)
