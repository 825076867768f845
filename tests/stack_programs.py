"""The programs that a stack needs and pip does not bring."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def require_stack_programs() -> None:
    """Skip, or fail in CI, where a stack cannot be started."""
    if missing := stack_programs_missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


def stack_programs_missing() -> str | None:
    """What a stack cannot be started without, and how to get it."""
    if not (ROOT / ".venv-swift" / "bin" / "swift-proxy-server").exists():
        return "no S3 server: `make .venv-swift/.ready` installs it"
    for name in ("psycopg", "flask_wtf"):
        if importlib.util.find_spec(name) is None:
            return f"no {name}: `make setup` installs it"
    from scripts.stack import postgres
    from synaug_core.errors import UserError

    try:
        postgres.binaries()
    except UserError as error:
        return str(error)
    return None
