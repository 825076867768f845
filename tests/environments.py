"""Environments in which a user has no services of their own."""

from __future__ import annotations

import os

import pytest

_SERVICES = ("AWS_", "MLFLOW_", "PREFECT_", "SYNAUG_", "PG")


def without_services() -> dict[str, str]:
    """This process's environment without the variables that name servers, places and passwords."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SERVICES)}


def forget_services(patch: pytest.MonkeyPatch) -> None:
    """Take those variables out of this process's environment."""
    for name in [name for name in os.environ if name.startswith(_SERVICES)]:
        patch.delenv(name)
