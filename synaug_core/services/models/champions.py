"""Promotion and rollback, safe where several machines do it at once, and what they left: who was champion when.

The list of `promotion_log` decides; the aliases in MLflow follow it. What is guaranteed:

- Of several changes that begin from the same champion exactly one happens. The others end with one clear line.
- A machine that dies between the list and the aliases leaves the change half visible; the next call finishes it.
- Readers of the alias `champion` always find a version; for moments it may still be the one before.
- Aliases that somebody moves in MLflow itself are respected: the next change begins from them and notes it.
"""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synaug_core.errors import SynaugError, UserError
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import promotion_log, versions
from synaug_core.services.settings import Settings

__all__ = ["ANY_CHAMPION", "ChampionChangedError", "ChampionPeriod", "champion_periods", "promote", "rollback"]

ANY_CHAMPION = "*"
"""As `expected`: whoever is champion."""

_ROUNDS = 20
_PAUSE = 1.0  # seconds; another machine that is about to move the aliases has done it by then


class ChampionChangedError(SynaugError):
    """The champion is not, or is no longer, the one that this change was to replace; nothing was changed."""


@dataclass(frozen=True)
class ChampionPeriod:
    """One version's time as champion.

    Attributes:
        version: None: there was no champion.
        since: in UTC; None: unknown.
        until: in UTC; None: it still is.
        action: "promote", "rollback", or "found" where somebody moved the alias in MLflow itself.
        by: who did it.
        why: in words.
    """

    version: str | None
    since: dt.datetime | None
    until: dt.datetime | None
    action: str
    by: str
    why: str


@dataclass(frozen=True)
class _State:
    """Who is who, after which entry."""

    number: int
    champion: str | None
    previous: str | None


def promote(
    settings: Settings,
    name: str,
    version: str,
    tags: Mapping[str, Any] | None = None,
    *,
    by: str = "the gate",
    why: str = "",
    expected: str | None = ANY_CHAMPION,
) -> versions.ModelVersion:
    """Make a version champion; the champion before it keeps the alias `previous`. Done twice, it is done once.

    Args:
        settings: where MLflow is.
        name: of the registered model.
        version: its number.
        tags: for the version.
        by: who decided.
        why: in words, for the history; default: the version's tag `synaug.decision`.
        expected: the version that has to be champion now, None for no champion: what the decision was based on.

    Raises:
        UserError: there is no such model or version.
        ChampionChangedError: another version is champion than expected, or became it meanwhile.
    """
    mlflow = client(settings)
    versions.require(mlflow, name, version)
    log = promotion_log.open_log(settings, name)
    before = _settled(mlflow, name, log)
    versions.tag_version(mlflow, name, version, tags or {})
    if before.champion != version:
        _expect(name, before, expected, f"version {version} was not promoted")
        previous = before.champion or (before.previous if before.previous != version else None)
        reason = why or versions.read_version(mlflow, name, version).tags.get(Tag.DECISION, "")
        entry, won = log.claim(
            before.number + 1, action="promote", champion=version, previous=previous, by=by, why=reason
        )
        _settled(mlflow, name, log)
        if not won and entry.champion != version:
            raise _lost(name, entry, f"version {version} was not promoted")
        versions.tag_version(mlflow, name, version, _promotion_tags(entry))
    if versions.aliases_of(mlflow, name).get("challenger") == version:
        versions.point(mlflow, name, "challenger", None)
    return versions.read_version(mlflow, name, version)


def rollback(
    settings: Settings, name: str, *, why: str = "", expected: str | None = ANY_CHAMPION
) -> versions.ModelVersion:
    """Make the previous champion champion again; the one it replaces becomes `previous`, so that a second rollback
    undoes the first. The arguments are those of `promote`; a person decides.

    Raises:
        UserError: there is no such model, or no previous champion.
        ChampionChangedError: another version is champion than expected, or became it meanwhile.
    """
    mlflow = client(settings)
    versions.require(mlflow, name)
    log = promotion_log.open_log(settings, name)
    before = _settled(mlflow, name, log)
    _expect(name, before, expected, "nothing was rolled back")
    if before.previous is None:
        raise UserError(f"{name} has no previous champion to go back to")
    entry, won = log.claim(
        before.number + 1,
        action="rollback",
        champion=before.previous,
        previous=before.champion if before.champion != before.previous else None,
        by="a person",
        why=why,
    )
    _settled(mlflow, name, log)
    if not won:
        raise _lost(name, entry, "nothing was rolled back")
    if before.champion is not None:
        versions.tag_version(mlflow, name, before.champion, {Tag.ROLLED_BACK_AT: _text(entry.when)})
    return versions.read_version(mlflow, name, before.previous)


def champion_periods(settings: Settings, name: str) -> list[ChampionPeriod]:
    """Every champion there was, newest first.

    Raises:
        UserError: there is no such model.
    """
    mlflow = client(settings)
    versions.require(mlflow, name)
    entries, done = promotion_log.open_log(settings, name).read()
    history: list[ChampionPeriod] = []
    until: dt.datetime | None = None
    last_entry = entries[-1] if entries else None
    outside = _moved_outside(mlflow, name, last_entry)
    if outside is not None and (last_entry is None or last_entry.number in done):
        history.append(
            ChampionPeriod(outside.champion, None, None, "found", "somebody", "the alias was moved in MLflow itself")
        )
    for entry in reversed(entries):
        history.append(ChampionPeriod(entry.champion, entry.when, until, entry.action, entry.by, entry.why))
        until = entry.when
    return history


def _settled(mlflow: Any, name: str, log: promotion_log.PromotionLog) -> _State:
    """Who is champion by the list, once the aliases have followed it and the list knows what was moved outside.

    Every caller finishes whatever it finds unfinished, so a writer that died holds nobody up; and it looks again after
    it has moved the aliases, so a slow writer does not leave an old entry's champion behind.
    """
    followed: int | None = None
    for _ in range(_ROUNDS):
        entries, done = log.read()
        last_entry = entries[-1] if entries else None
        if last_entry is not None and (last_entry.number not in done or followed not in (None, last_entry.number)):
            _point_aliases(mlflow, name, last_entry)
            followed = last_entry.number
            log.finish(last_entry)
            continue
        outside = _moved_outside(mlflow, name, last_entry)
        if outside is None:
            return _state(last_entry)
        if last_entry is not None:
            time.sleep(_PAUSE)
            if _moved_outside(mlflow, name, last_entry) != outside or log.read()[0][-1] != last_entry:
                continue
        why = "the alias was moved in MLflow itself" if last_entry else "it was champion before this list began"
        moved = {"champion": outside.champion, "previous": outside.previous}
        log.claim(outside.number + 1, action="found", by="somebody", why=why, **moved)
    raise ChampionChangedError(f"{name}: its champion keeps changing; nothing was done, try again later")


def _point_aliases(mlflow: Any, name: str, entry: promotion_log.Entry) -> None:
    from mlflow.exceptions import MlflowException

    try:
        versions.point(mlflow, name, "previous", entry.previous)
        versions.point(mlflow, name, "champion", entry.champion)
    except MlflowException as error:
        # A version that was deleted since cannot be anything; the aliases stay, and the list takes note of that.
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise


def _moved_outside(mlflow: Any, name: str, last_entry: promotion_log.Entry | None) -> _State | None:
    """The aliases, where they are not what the last entry made them."""
    aliases, then = versions.aliases_of(mlflow, name), _state(last_entry)
    now = _State(then.number, aliases.get("champion"), aliases.get("previous"))
    return None if now == then else now


def _state(last_entry: promotion_log.Entry | None) -> _State:
    return (
        _State(0, None, None)
        if last_entry is None
        else _State(last_entry.number, last_entry.champion, last_entry.previous)
    )


def _expect(name: str, state: _State, expected: str | None, outcome: str) -> None:
    if expected not in (ANY_CHAMPION, state.champion):
        required = f"version {expected}" if expected is not None else "no version"
        now = f"version {state.champion}" if state.champion is not None else "no version"
        raise ChampionChangedError(f"{name}: {now} is champion, not {required} as expected; {outcome}")


def _lost(name: str, winner: promotion_log.Entry, outcome: str) -> ChampionChangedError:
    return ChampionChangedError(
        f"{name}: {winner.by} made version {winner.champion} champion at the same time; {outcome}"
    )


def _promotion_tags(entry: promotion_log.Entry) -> dict[str, str]:
    """Tags of a version that became champion."""
    return {Tag.PROMOTED_AT: _text(entry.when), Tag.PROMOTED_BY: entry.by, Tag.PROMOTED_WHY: entry.why}


def _text(when: dt.datetime) -> str:
    return when.isoformat(timespec="seconds")
