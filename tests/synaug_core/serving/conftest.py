"""A service without a socket in between, on a real registry with two classifiers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from synaug_core.services.models import registry
from synaug_core.services.settings import Settings
from tests.classifiers import saved_classifier
from tests.mlflow_server import copy_database, embedded_home
from tests.synaug_core.serving.running import CLASSES, NAME, Champion, Running, Start, add


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two classifiers that say different things."""
    return {seed: saved_classifier(tmp_path_factory.mktemp("trained") / "classifier", CLASSES, seed) for seed in (1, 2)}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, saved: dict[int, Path]) -> Path:
    """A database with both classifiers as versions 1 and 2, none of them champion."""
    home = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        made = embedded_home(home, empty_database, patch)
        assert [add(made, saved, seed) for seed in (1, 2)] == ["1", "2"]
    return home / "mlflow.db"


@pytest.fixture
def champion(current: Settings, template: Path) -> Champion:
    """Makes a version champion."""
    copy_database(template, current.home / "mlflow.db")
    return lambda version: registry.promote(current, NAME, version)


@pytest.fixture
def start(current: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts services; each ends with the test."""
    opened: list[TestClient] = []

    def make(**options: Any) -> tuple[TestClient, Running]:
        running = Running(current, tmp_path / "served", **options)
        opened.append(TestClient(running.service.app, base_url="http://127.0.0.1:8000"))
        opened[-1].__enter__()
        return opened[-1], running

    yield make
    for one in opened:
        one.__exit__(None, None, None)
