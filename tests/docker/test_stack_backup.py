"""A backup of the native stack while it runs, restored into a stack that has nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synaug_core.errors import UserError
from tests.environments import forget_services

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_what_a_stack_knew_another_knows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.backup.stack import back_up_stack, restore_stack
    from scripts.stack.native import running
    from synaug_core.refs import Reference
    from synaug_core.services.mlflow.artifacts import fetch, put_file
    from synaug_core.services.mlflow.runs import finish, open_run
    from synaug_core.services.settings import settings

    forget_services(monkeypatch)
    first, second, backup = place / "first", place / "second", place / "backup"
    (place / "words.txt").write_text("kept")
    with pytest.raises(UserError, match="no stack runs in"):
        back_up_stack(first, backup)
    with running(first, mlflow_port=25_000, prefect_port=24_200, worker=False, announce=lambda _: None) as stack:
        for name, value in {**stack.environment, "SYNAUG_HOME": str(place / "home1")}.items():
            monkeypatch.setenv(name, value)
        run = open_run(settings(), experiment="synaug/kept", key="k", stage="retrain", name="kept")
        uri, sha256 = put_file(run, place / "words.txt", "deep/words.txt")
        finish(run)
        assert back_up_stack(first, backup) > 4
        with pytest.raises(UserError, match="a stack runs in"):
            restore_stack(backup, first)
    second.mkdir()
    with pytest.raises(UserError, match="copy the folder `secrets`"):
        restore_stack(backup, second)
    shutil.copytree(first / "secrets", second / "secrets")
    restore_stack(backup, second)
    with pytest.raises(UserError, match="is not empty"):
        restore_stack(backup, second)
    with running(second, mlflow_port=25_000, prefect_port=24_200, worker=False, announce=lambda _: None) as stack:
        for name, value in {**stack.environment, "SYNAUG_HOME": str(place / "home2")}.items():
            monkeypatch.setenv(name, value)
        again = open_run(settings(), experiment="synaug/kept", key="k", stage="retrain", name="kept")
        assert again.run_id == run.run_id
        found = fetch(Reference(uri=uri, sha256=sha256, run_id=run.run_id))
        assert found.read_text() == "kept"
