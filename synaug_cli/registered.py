"""Registered models as they are named on the command line: NAME or NAME@ALIAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synaug_core.services.registry import Alias

__all__ = ["name_and_alias"]


def name_and_alias(model: str) -> tuple[str, Alias]:
    """What NAME or NAME@ALIAS asks for; without an alias the champion.

    Raises:
        UserError: there is no such alias.
    """
    from synaug_core.errors import UserError

    name, _, given = model.partition("@")
    aliases: dict[str, Alias] = {"champion": "champion", "challenger": "challenger", "previous": "previous"}
    if (alias := aliases.get(given or "champion")) is None:
        raise UserError(f"MODEL: there is no alias {given!r}; known are {', '.join(aliases)}")
    return name, alias
