from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from synaug_core.errors import SynaugError, UserError
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client
from synaug_core.services.models import registry, training_images
from synaug_core.services.models.promotion_log import PromotionLog, open_log
from synaug_core.services.models.registry import ModelVersion, current, history, promote, rollback
from synaug_core.services.models.training_images import images_behind
from synaug_core.services.settings import Settings
from tests.versions import NAME, add_version


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


def test_looking_at_an_alias_asks_for_the_aliases_once(
    embedded: Settings, registered: Callable[..., ModelVersion], monkeypatch: pytest.MonkeyPatch
):
    registered("one")
    mlflow, asked = client(embedded), []
    real = mlflow.get_registered_model
    monkeypatch.setattr(mlflow, "get_registered_model", lambda name: asked.append(name) or real(name))
    found = current(embedded, NAME, "challenger")
    assert found is not None
    assert (found.version, found.aliases, asked) == ("1", ("challenger",), [NAME])
    assert current(embedded, NAME, "champion") is None


def test_registering_again_gives_the_same_version(embedded: Settings, registered: Callable[..., ModelVersion]):
    registered("one")
    promote(embedded, NAME, "1")
    again = registered("one", gain=0.5)
    assert again.version == "1"
    assert again.tags["gain"] == "0.5"
    assert again.aliases == ("champion",)
    assert len(history(embedded, NAME)) == 1


def test_a_version_that_a_kill_left_without_a_role_becomes_challenger(
    embedded: Settings, registered: Callable[..., ModelVersion]
):
    registered("one")
    client(embedded).delete_registered_model_alias(NAME, "challenger")  # as if the kill had come before it
    assert registered("one").aliases == ("challenger",)
    for number, key in enumerate(("one", "two", "three"), 1):
        registered(key)
        promote(embedded, NAME, str(number))
    assert registered("one").aliases == ()  # it was champion once


def test_only_a_history_that_is_gone_is_called_gone(embedded: Settings, registered: Callable[..., ModelVersion]):
    from mlflow.exceptions import MlflowException

    registered("one")
    log = open_log(embedded, NAME)
    away = Mock(get_run=Mock(side_effect=MlflowException("no permission", PERMISSION_DENIED)))
    with pytest.raises(MlflowException, match="no permission"):
        PromotionLog(away, log.run_id).read()
    with pytest.raises(SynaugError, match="with the history of promotions is gone"):
        PromotionLog(client(embedded), "0" * 32).read()


def test_only_images_that_are_gone_are_called_gone(embedded: Settings, registered: Callable[..., ModelVersion]):
    from mlflow.exceptions import MlflowException

    version = registered("one", **{"synaug.retraining": "0" * 32})
    with pytest.raises(UserError, match="are not in this store"):
        images_behind(embedded, version, ["test"])
    away = Mock(get_run=Mock(side_effect=MlflowException("no permission", PERMISSION_DENIED)))
    with pytest.raises(MlflowException, match="no permission"):
        training_images._place(away, version)


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
    from synaug_core.services.mlflow.runs import open_run

    run = open_run(server, experiment="synaug/remote", key="r", stage="s", name="n")
    made = add_version(server, "synaug-remote", run, "r")
    assert made.aliases == ("challenger",)
    assert promote(server, "synaug-remote", made.version).aliases == ("champion",)
