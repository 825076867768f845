from __future__ import annotations

from collections.abc import Callable

import pytest

from synaug_core.errors import UserError
from synaug_core.refs import RunRef
from synaug_core.services import registry
from synaug_core.services.clients import client
from synaug_core.services.registry import ModelVersion, current, history, promote, register, rollback
from synaug_core.services.settings import Settings
from tests.synaug_core.services.versions import NAME, add_version


@pytest.fixture
def registered(embedded: Settings, new_run: Callable[..., RunRef]) -> Callable[..., ModelVersion]:
    def make(key: str, **tags: object) -> ModelVersion:
        return add_version(embedded, NAME, new_run(key), key, **tags)

    return make


def aliases(embedded: Settings) -> dict[str, str | None]:
    found = {a: current(embedded, NAME, a) for a in ("challenger", "champion", "previous")}  # type: ignore[arg-type]
    return {alias: version and version.version for alias, version in found.items()}


def test_a_version_begins_as_challenger(embedded: Settings, registered: Callable[..., ModelVersion]):
    made = registered("one", gain=0.25, verdict="gain")
    assert made.version == "1"
    assert made.aliases == ("challenger",)
    assert made.tags["gain"] == "0.25"
    assert made.uri == "models:/synaug-test/1"
    assert client(embedded).get_model_version(NAME, "1").run_id == made.run_id
    assert registry.names(embedded) == [NAME]


def test_registering_again_gives_the_same_version(embedded: Settings, registered: Callable[..., ModelVersion]):
    registered("one")
    promote(embedded, NAME, "1")
    again = registered("one", gain=0.5)
    assert again.version == "1"
    assert again.tags["gain"] == "0.5"
    assert again.aliases == ("champion",)
    assert len(history(embedded, NAME)) == 1


def test_promotion_keeps_the_champion_before(embedded: Settings, registered: Callable[..., ModelVersion]):
    for key in ("one", "two", "three"):
        registered(key)
    assert promote(embedded, NAME, "1").aliases == ("champion",)
    assert aliases(embedded) == {"challenger": "3", "champion": "1", "previous": None}
    for _ in range(2):
        promoted = promote(embedded, NAME, "3", {"synaug.gate": "better on A"})
    assert promoted.tags["synaug.gate"] == "better on A"
    assert promoted.tags["synaug.promoted_at"]
    assert aliases(embedded) == {"challenger": None, "champion": "3", "previous": "1"}
    assert [v.version for v in history(embedded, NAME)] == ["3", "2", "1"]


def test_a_rollback_can_be_undone(embedded: Settings, registered: Callable[..., ModelVersion]):
    for key in ("one", "two"):
        registered(key)
        promote(embedded, NAME, "1" if key == "one" else "2")
    assert rollback(embedded, NAME).version == "1"
    assert aliases(embedded) == {"challenger": None, "champion": "1", "previous": "2"}
    assert "synaug.rolled_back_at" in history(embedded, NAME)[0].tags
    assert rollback(embedded, NAME).version == "2"
    assert aliases(embedded) == {"challenger": None, "champion": "2", "previous": "1"}


def test_promoting_the_previous_champion_leaves_two_roles_for_two_versions(
    embedded: Settings, registered: Callable[..., ModelVersion]
):
    registered("one")
    registered("two")
    promote(embedded, NAME, "1")
    promote(embedded, NAME, "2")
    promote(embedded, NAME, "1")
    assert aliases(embedded) == {"challenger": None, "champion": "1", "previous": "2"}


def test_what_is_not_there_is_named(embedded: Settings, registered: Callable[..., ModelVersion]):
    assert current(embedded, "synaug-none") is None
    with pytest.raises(UserError, match="no registered model 'synaug-none'"):
        rollback(embedded, "synaug-none")
    with pytest.raises(UserError, match="no registered model 'synaug-none'"):
        history(embedded, "synaug-none")
    registered("one")
    with pytest.raises(UserError, match="has no version 7; it has 1"):
        promote(embedded, NAME, "7")
    with pytest.raises(UserError, match="no previous champion"):
        rollback(embedded, NAME)


def test_no_secret_becomes_a_tag(registered: Callable[..., ModelVersion]):
    assert "hunter2" not in str(registered("one", source="https://me:hunter2@host/x").tags)


@pytest.mark.slow
def test_the_same_behind_a_server(server: Settings):
    from synaug_core.services.tracking import open_run

    run, mlflow = open_run(server, experiment="synaug/remote", key="r", stage="s", name="n"), client(server)
    number = mlflow.get_run(run.run_id).info.experiment_id
    model = mlflow.create_logged_model(number, name="classifier", source_run_id=run.run_id)
    mlflow.finalize_logged_model(model.model_id, "READY")
    made = register(server, "synaug-remote", model_uri=f"models:/{model.model_id}", run=run, key="r")
    assert made.aliases == ("challenger",)
    assert promote(server, "synaug-remote", made.version).aliases == ("champion",)
