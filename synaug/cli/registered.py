"""Registered models as they are named on the command line: NAME, NAME@ALIAS or NAME@VERSION."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from synaug_core.errors import UserError
from synaug_core.vocabulary import Alias

if TYPE_CHECKING:
    from synaug_core.services.models.registry import ModelVersion
    from synaug_core.services.settings import Settings

__all__ = ["name_and_alias", "named_version"]


def name_and_alias(model: str) -> tuple[str, Alias]:
    """What NAME or NAME@ALIAS asks for; without an alias the champion.

    Raises:
        UserError: there is no such alias.
    """
    name, _, given = model.partition("@")
    if _is_number(given):
        raise UserError(
            f"MODEL: give an alias, not version {given}; `synaug models promote {name} {given}` makes it champion"
        )
    aliases: dict[str, Alias] = {alias: alias for alias in get_args(Alias)}
    if (alias := aliases.get(given or "champion")) is None:
        raise UserError(f"MODEL: there is no alias {given!r}; known are {', '.join(aliases)}")
    return name, alias


def named_version(settings: Settings, model: str) -> ModelVersion:
    """The version that NAME, NAME@ALIAS or NAME@VERSION names; NAME alone is its champion.

    Raises:
        UserError: there is none.
    """
    from synaug_core.services.models import registry

    name, _, given = model.partition("@")
    if _is_number(given):
        of_name = registry.history(settings, name) if name in registry.names(settings) else []
        found = next((version for version in of_name if version.version == given), None)
    else:
        name, alias = name_and_alias(model)
        given, found = alias, registry.current(settings, name, alias)
    if found is None:
        raise UserError(f"MODEL: {_why_not(settings, name, given)}")
    return found


def _why_not(settings: Settings, name: str, given: str) -> str:
    from synaug_core.services.models import registry

    known = registry.names(settings)
    if name not in known:
        return f"{name!r} is neither a classifier's folder nor a registered model; {registry.in_words(known)}"
    there = registry.history(settings, name)
    if _is_number(given):
        return f"{name} has no version {given}; it has {', '.join(version.version for version in reversed(there))}"
    aliases = sorted({f"{name}@{a}" for version in there for a in version.aliases})
    return f"{name} has no {given}" + (f"; try {' or '.join(aliases)}" if aliases else "")


def _is_number(given: str) -> bool:
    return given.isascii() and given.isdigit()
