"""Versions of registered models as MLflow has them: read, tagged, given names."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synaug_core.errors import UserError
from synaug_core.services.mlflow.recorder import as_tags
from synaug_core.services.retry import every_result, patiently
from synaug_core.vocabulary import Alias

__all__ = [
    "Alias",
    "ModelVersion",
    "aliases_of",
    "in_words",
    "names",
    "numbered",
    "point",
    "read_every_version",
    "read_version",
    "read_versions",
    "require",
    "tag_version",
]

_TRIES = 3


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


def numbered(version: ModelVersion) -> int:
    """The version's number, for sorting."""
    return int(version.version)


def read_versions(mlflow: Any, name: str) -> list[ModelVersion]:
    """Every version, in no particular order; none where there is no such model."""
    aliases = aliases_of(mlflow, name)
    # by default those changed last come first, and one that is changed meanwhile would be on no page
    stored = every_result(mlflow.search_model_versions, f"name = '{name}'", order_by=["version_number ASC"])
    return [_version_from(version, aliases) for version in stored]


def read_every_version(mlflow: Any) -> list[ModelVersion]:
    """Every version of every registered model, by model and number."""
    aliases = {model.name: _texts(model.aliases) for model in every_result(mlflow.search_registered_models)}
    stored = every_result(mlflow.search_model_versions, order_by=["name ASC", "version_number ASC"])
    return [_version_from(version, aliases.get(version.name, {})) for version in stored]


def read_version(mlflow: Any, name: str, version: str, aliases: Mapping[str, str] | None = None) -> ModelVersion:
    """One version that exists; `aliases`: what `aliases_of` has just said, where that is known."""
    stored = patiently(mlflow.get_model_version, name, version)
    return _version_from(stored, aliases_of(mlflow, name) if aliases is None else aliases)


def aliases_of(mlflow: Any, name: str) -> dict[str, str]:
    """Alias -> version; none where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = patiently(mlflow.get_registered_model, name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return _texts(aliases)


def point(mlflow: Any, name: str, alias: Alias, version: str | None) -> None:
    """Let an alias point at a version, or at nothing."""
    pointed_at = aliases_of(mlflow, name).get(alias)
    if version is None and pointed_at is not None:
        patiently(mlflow.delete_registered_model_alias, name, alias)
    elif version is not None and pointed_at != version:
        _write(mlflow.set_registered_model_alias, name, alias, version)


def require(mlflow: Any, name: str, version: str | None = None) -> None:
    """Raises:
    UserError: there is no such model or version.
    """
    numbers = [v.version for v in read_versions(mlflow, name)]
    if not numbers:
        models, of_the_data = names(mlflow), f"synaug-{name}"
        hint = f"did you mean {of_the_data}?" if of_the_data in models else in_words(models)
        raise UserError(f"there is no registered model {name!r}; {hint}")
    if version is not None and version not in numbers:
        raise UserError(f"{name} has no version {version}; it has {', '.join(sorted(numbers, key=int))}")


def names(mlflow: Any) -> list[str]:
    """The registered models that synaug made."""
    return sorted(m.name for m in every_result(mlflow.search_registered_models) if m.tags.get("synaug") == "true")


def in_words(names: Sequence[str]) -> str:
    """Which models are registered, for a message about one that is not."""
    return f"registered are {', '.join(names)}" if names else "none is registered yet"


def tag_version(mlflow: Any, name: str, version: str, tags: Mapping[str, Any]) -> None:
    """Set tags, without secrets."""
    for key, value in as_tags(tags).items():
        _write(mlflow.set_model_version_tag, name, version, key, value)


def _write(function: Callable[..., Any], *args: str) -> None:
    """Set a tag or an alias. MLflow looks first and then inserts: of two that do it at once, the database refuses one,
    which finds the other's when it tries again."""
    from mlflow.exceptions import MlflowException

    for _ in range(_TRIES):
        try:
            patiently(function, *args)
            return
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST":  # MLflow's code for what its database refuses
                raise
    patiently(function, *args)


def _texts(aliases: Mapping[str, Any]) -> dict[str, str]:
    return {alias: str(version) for alias, version in aliases.items()}


def _version_from(stored: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(stored.version)
    return ModelVersion(
        name=stored.name,
        version=number,
        aliases=tuple(sorted(a for a, v in aliases.items() if v == number)),
        run_id=stored.run_id or "",
        source=stored.source,
        created=dt.datetime.fromtimestamp(stored.creation_timestamp / 1000, dt.UTC),
        tags=dict(stored.tags),
    )
