"""Another version becomes champion: by hand, or by going back."""

from __future__ import annotations

from prefect import task

from tasks.step import action

__all__ = ["go_back", "make_champion"]


@action
def make_champion(name: str, version: str, why: str, expected: str) -> str:
    """Promote a version and give its number; `expected` as in `registry.promote`."""
    from synaug_core.services import registry
    from synaug_core.services.settings import settings

    return registry.promote(settings(), name, version, by="a person", why=why, expected=expected).version


@task(name="go-back", persist_result=False)  # not tried twice: a second rollback undoes the first
def go_back(name: str, why: str, expected: str) -> str:
    """Roll back and give the number of the version that is champion again."""
    from synaug_core.services import registry
    from synaug_core.services.settings import settings

    return registry.rollback(settings(), name, why=why, expected=expected).version
