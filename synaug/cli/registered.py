"""Registered models as they are named on the command line: NAME, NAME@ALIAS or NAME@VERSION."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from synaug_core import errors, vocabulary

if TYPE_CHECKING:
    from synaug_core.services.models.registry import ModelVersion
    from synaug_core.services.settings import Settings

__all__ = ["name_and_alias", "named_version"]


def name_and_alias(model: str) -> tuple[str, vocabulary.Alias]:
    """What NAME or NAME@ALIAS asks for; without an alias the champion.

    Raises:
        UserError: there is no such alias.
    """
    name, _, selector = model.partition("@")
    if _is_number(selector):
        raise errors.UserError(
            f"MODEL: give an alias, not version {selector}; `synaug models promote {name} {selector}` makes it champion"
        )
    aliases: dict[str, vocabulary.Alias] = {alias: alias for alias in get_args(vocabulary.Alias)}
    if (alias := aliases.get(selector or "champion")) is None:
        raise errors.UserError(f"MODEL: there is no alias {selector!r}; known are {', '.join(aliases)}")
    return name, alias


def named_version(settings: Settings, model: str) -> ModelVersion:
    """The version that NAME, NAME@ALIAS or NAME@VERSION names; NAME alone is its champion.

    Raises:
        UserError: there is none.
    """
    from synaug_core.services.models import registry

    name, _, selector = model.partition("@")
    if _is_number(selector):
        versions = registry.history(settings, name) if name in registry.names(settings) else []
        version_found = next((version for version in versions if version.version == selector), None)
    else:
        name, alias = name_and_alias(model)
        selector, version_found = alias, registry.current(settings, name, alias)
    if version_found is None:
        raise errors.UserError(f"MODEL: {_why_not(settings, name, selector)}")
    return version_found


def _why_not(settings: Settings, name: str, selector: str) -> str:
    from synaug_core.services.models import registry

    known_names = registry.names(settings)
    if name not in known_names:
        return f"{name!r} is neither a classifier's folder nor a registered model; {registry.in_words(known_names)}"
    versions = registry.history(settings, name)
    if _is_number(selector):
        return f"{name} has no version {selector}; it has {', '.join(v.version for v in reversed(versions))}"
    aliases = sorted({f"{name}@{a}" for version in versions for a in version.aliases})
    return f"{name} has no {selector}" + (f"; try {' or '.join(aliases)}" if aliases else "")


def _is_number(selector: str) -> bool:
    return selector.isascii() and selector.isdigit()
