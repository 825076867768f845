"""Registered models: versions, the aliases challenger, champion and previous, and what decided on them."""

from collections.abc import Mapping
from typing import Any

from synaug_core.refs import RunRef
from synaug_core.services import locks, places, retry, secrets
from synaug_core.services.mlflow import clients, recorder
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import promotion_log
from synaug_core.services.models import versions as model_versions
from synaug_core.services.models.champions import (
    ANY_CHAMPION,
    ChampionChangedError,
    ChampionPeriod,
    champion_periods,
    promote,
    rollback,
)
from synaug_core.services.models.versions import (
    Alias,
    ModelVersion,
    aliases_of,
    in_words,
    numbered,
    point,
    read_version,
    read_versions,
    require,
    tag_version,
)
from synaug_core.services.settings import Settings

__all__ = [
    "ANY_CHAMPION",
    "Alias",
    "ChampionChangedError",
    "ChampionPeriod",
    "ModelVersion",
    "annotate",
    "champion_periods",
    "current",
    "describe",
    "history",
    "in_words",
    "names",
    "promote",
    "register",
    "rollback",
    "versions",
]


def register(
    settings: Settings, name: str, *, model_uri: str, run: RunRef, key: str, tags: Mapping[str, Any] | None = None
) -> ModelVersion:
    """Make a logged model (`models:/m-...`) a version of the registered model, and its challenger.

    Registering with a `key` that a version has already gives that version, with these tags; it becomes challenger
    only if it never had another role. Two machines that register the same key at once agree on the lower number.
    """
    mlflow = clients.client(settings)
    with locks.exclusive(places.lock(settings.home, "registry")):
        _make_model(settings, mlflow, name)
        if (registered := _with_key(mlflow, name, key)) is not None:
            tag_version(mlflow, name, registered.version, tags or {})
            if not registered.aliases and all(
                reign.version != registered.version for reign in champion_periods(settings, name)
            ):
                _challenge(mlflow, name, registered.version)
            return read_version(mlflow, name, registered.version)
        model = retry.patiently(mlflow.get_logged_model, model_uri.removeprefix("models:/"))
        created = retry.patiently(
            mlflow.create_model_version,
            name,
            # the place itself: a models:/ address would be resolved by MLflow's global client
            source=model.artifact_location,
            run_id=run.run_id,
            tags=recorder.as_tags({**(tags or {}), Tag.KEY: key}),
            model_id=model.model_id,
        )
        number = str(created.version)
        first = _with_key(mlflow, name, key)
        if first is not None and first.version != number:  # another machine was quicker
            retry.patiently(mlflow.delete_model_version, name, number)
            return first
        _challenge(mlflow, name, number)
        return read_version(mlflow, name, number)


def current(settings: Settings, name: str, alias: Alias = "champion") -> ModelVersion | None:
    """The version behind an alias, or None."""
    mlflow = clients.client(settings)
    aliases = aliases_of(mlflow, name)
    return read_version(mlflow, name, aliases[alias], aliases) if alias in aliases else None


def history(settings: Settings, name: str) -> list[ModelVersion]:
    """Every version, newest first. Who was champion when is in `champion_periods`.

    Raises:
        UserError: there is no such model.
    """
    mlflow = clients.client(settings)
    require(mlflow, name)
    return sorted(read_versions(mlflow, name), key=numbered, reverse=True)


def versions(settings: Settings, name: str) -> list[ModelVersion]:
    """Every version in no particular order; none where there is no such model."""
    return read_versions(clients.client(settings), name)


def annotate(settings: Settings, name: str, version: str, tags: Mapping[str, Any]) -> None:
    """Add tags to a version."""
    tag_version(clients.client(settings), name, version, tags)


def describe(settings: Settings, name: str, version: str, text: str) -> None:
    """Set the Markdown that stands on a version's page."""
    retry.patiently(clients.client(settings).update_model_version, name, version, secrets.redacted(text))


def names(settings: Settings) -> list[str]:
    """The registered models that synaug made."""
    return model_versions.names(clients.client(settings))


def _make_model(settings: Settings, mlflow: Any, name: str) -> None:
    """Make the registered model, together with its list of champions, where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        retry.patiently(mlflow.get_registered_model, name)
        return
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    log = promotion_log.new_log(settings, name)
    try:
        retry.patiently(mlflow.create_registered_model, name, tags={"synaug": "true", Tag.PROMOTION_LOG: log})
    except MlflowException as error:
        promotion_log.drop_log(settings, log)
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _challenge(mlflow: Any, name: str, number: str) -> None:
    """Make a version the challenger, unless a later one is."""
    challenger = aliases_of(mlflow, name).get("challenger")
    if challenger is None or int(challenger) < int(number):
        point(mlflow, name, "challenger", number)


def _with_key(mlflow: Any, name: str, key: str) -> ModelVersion | None:
    return min((v for v in read_versions(mlflow, name) if v.tags.get(Tag.KEY) == key), key=numbered, default=None)
