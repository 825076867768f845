"""Registered models: versions, the aliases challenger, champion and previous, and what decided on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from synaug_core.errors import UserError
from synaug_core.refs import RunRef
from synaug_core.services import flat
from synaug_core.services.clients import client, patiently
from synaug_core.services.locks import exclusive
from synaug_core.services.settings import Settings

__all__ = [
    "Alias",
    "ModelVersion",
    "annotate",
    "current",
    "history",
    "names",
    "promote",
    "register",
    "rollback",
    "versions",
]

Alias = Literal["challenger", "champion", "previous"]

_KEY = "synaug.key"


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        version: "1", "2", ...
        aliases: those that point at it now.
        created: in UTC.
        source: where the model's files lie.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    source: str
    created: dt.datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """`models:/<name>/<version>`, which `mlflow models serve -m` takes."""
        return f"models:/{self.name}/{self.version}"


def register(
    settings: Settings, name: str, *, model_uri: str, run: RunRef, key: str, tags: Mapping[str, Any] | None = None
) -> ModelVersion:
    """Make a logged model (`models:/m-...`) a version of the registered model, and its challenger.

    Registering with a `key` that a version has already gives that version, with these tags; it becomes challenger
    only if it never had another role.
    """
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    with exclusive(settings.home / "locks" / "registry.lock"):
        try:
            patiently(mlflow.create_registered_model, name, tags={"synaug": "true"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        there = next((v for v in _versions(mlflow, name) if v.tags.get(_KEY) == key), None)
        if there is not None:
            _tag(mlflow, name, there.version, tags or {})
            return _get(mlflow, name, there.version)
        model = patiently(mlflow.get_logged_model, model_uri.removeprefix("models:/"))
        made = patiently(
            mlflow.create_model_version,
            name,
            # the place itself: a models:/ address would be resolved by MLflow's global client
            source=model.artifact_location,
            run_id=run.run_id,
            tags=flat.tags({**(tags or {}), _KEY: key}),
            model_id=model.model_id,
        )
        patiently(mlflow.set_registered_model_alias, name, "challenger", str(made.version))
        return _get(mlflow, name, str(made.version))


def current(settings: Settings, name: str, alias: Alias = "champion") -> ModelVersion | None:
    """The version behind an alias, or None."""
    mlflow = client(settings)
    number = _aliases(mlflow, name).get(alias)
    return None if number is None else _get(mlflow, name, number)


def promote(settings: Settings, name: str, version: str, tags: Mapping[str, Any] | None = None) -> ModelVersion:
    """Make a version champion; the champion before it keeps the alias `previous`. Done twice, it is done once.

    Raises:
        UserError: there is no such model or version.
    """
    mlflow = client(settings)
    with exclusive(settings.home / "locks" / "registry.lock"):
        _require(mlflow, name, version)
        _tag(mlflow, name, version, tags or {})
        aliases = _aliases(mlflow, name)
        champion = aliases.get("champion")
        if champion != version:
            if champion is not None:
                patiently(mlflow.set_registered_model_alias, name, "previous", champion)
            elif aliases.get("previous") == version:
                patiently(mlflow.delete_registered_model_alias, name, "previous")
            patiently(mlflow.set_registered_model_alias, name, "champion", version)
            _tag(mlflow, name, version, {"synaug.promoted_at": _now()})
        if aliases.get("challenger") == version:
            patiently(mlflow.delete_registered_model_alias, name, "challenger")
        return _get(mlflow, name, version)


def rollback(settings: Settings, name: str) -> ModelVersion:
    """Make the previous champion champion again; the one it replaces becomes `previous`, so that a second rollback
    undoes the first.

    Raises:
        UserError: there is no such model, or no previous champion.
    """
    mlflow = client(settings)
    with exclusive(settings.home / "locks" / "registry.lock"):
        _require(mlflow, name)
        aliases = _aliases(mlflow, name)
        former = aliases.get("previous")
        if former is None:
            raise UserError(f"{name} has no previous champion to go back to")
        replaced = aliases.get("champion")
        patiently(mlflow.set_registered_model_alias, name, "champion", former)
        if replaced is None or replaced == former:
            patiently(mlflow.delete_registered_model_alias, name, "previous")
        else:
            patiently(mlflow.set_registered_model_alias, name, "previous", replaced)
            _tag(mlflow, name, replaced, {"synaug.rolled_back_at": _now()})
        return _get(mlflow, name, former)


def history(settings: Settings, name: str) -> list[ModelVersion]:
    """Every version, newest first.

    Raises:
        UserError: there is no such model.
    """
    mlflow = client(settings)
    _require(mlflow, name)
    return sorted(_versions(mlflow, name), key=lambda v: int(v.version), reverse=True)


def versions(settings: Settings, name: str) -> list[ModelVersion]:
    """Every version in no particular order; none where there is no such model."""
    return _versions(client(settings), name)


def annotate(settings: Settings, name: str, version: str, tags: Mapping[str, Any]) -> None:
    """Add tags to a version."""
    _tag(client(settings), name, version, tags)


def names(settings: Settings) -> list[str]:
    """The registered models that synaug made."""
    found = patiently(client(settings).search_registered_models, max_results=1000)
    return sorted(m.name for m in found if m.tags.get("synaug") == "true")


def _require(mlflow: Any, name: str, version: str | None = None) -> None:
    there = [v.version for v in _versions(mlflow, name)]
    if not there:
        raise UserError(f"there is no registered model {name!r}")
    if version is not None and version not in there:
        raise UserError(f"{name} has no version {version}; it has {', '.join(sorted(there, key=int))}")


def _versions(mlflow: Any, name: str) -> list[ModelVersion]:
    aliases = _aliases(mlflow, name)
    found = patiently(mlflow.search_model_versions, f"name = '{name}'", max_results=1000)
    return [_of(v, aliases) for v in found]


def _get(mlflow: Any, name: str, version: str) -> ModelVersion:
    return _of(patiently(mlflow.get_model_version, name, version), _aliases(mlflow, name))


def _of(found: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(found.version)
    return ModelVersion(
        name=found.name,
        version=number,
        aliases=tuple(sorted(a for a, v in aliases.items() if v == number)),
        run_id=found.run_id or "",
        source=found.source,
        created=dt.datetime.fromtimestamp(found.creation_timestamp / 1000, dt.UTC),
        tags=dict(found.tags),
    )


def _aliases(mlflow: Any, name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        found = patiently(mlflow.get_registered_model, name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {alias: str(version) for alias, version in found.items()}


def _tag(mlflow: Any, name: str, version: str, tags: Mapping[str, Any]) -> None:
    for key, value in flat.tags(tags).items():
        patiently(mlflow.set_model_version_tag, name, version, key, value)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
