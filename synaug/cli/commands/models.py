"""`synaug models`: registered models, their versions, which of them serves, and which did before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from synaug.cli import environment
from synaug_core.services.mlflow.tags import Tag

if TYPE_CHECKING:
    from synaug_core.services.models.registry import ChampionPeriod, ModelVersion

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="List registered models and who was champion when, promote a version, or go back to the one before.",
)

_REFUSED = "Not promoted: "

Name = Annotated[str, typer.Argument(help="Registered model, such as synaug-digits.")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the history.")]
Expect = Annotated[
    str | None, typer.Option("--expect", metavar="VERSION", help="Only if this version is the champion now.")
]


@app.command("list")
def list_models(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this model; default: all that synaug registered.")] = None,
) -> None:
    """Show every version with its aliases and what decided on it."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    model_names = [name] if name else registry.names(settings)
    if not model_names:
        typer.echo("no model is registered yet; `synaug run` registers one")
        return
    table = Table("model", "version", "alias", "made (UTC)", "decision")
    for model in model_names:
        for version in registry.history(settings, model):
            created = f"{version.created:%Y-%m-%d %H:%M}"
            cells = (model, version.version, ", ".join(version.aliases), created, _decision(version))
            table.add_row(*map(escape, cells))
    Console().print(table)


@app.command()
def promote(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str, typer.Argument(help="Its number, such as 3.")],
    why: Why = "",
    expect: Expect = None,
) -> None:
    """Make a version the champion; the champion before it becomes `previous`.

    Where two do it at once, one succeeds and the other is told so.
    """
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    expected = registry.ANY_CHAMPION if expect is None else expect
    promoted = registry.promote(settings, name, version, by="a person", why=why, expected=expected)
    typer.echo(f"{name}: version {promoted.version} is champion")


@app.command()
def rollback(ctx: typer.Context, name: Name, why: Why = "", expect: Expect = None) -> None:
    """Make the previous champion the champion again."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    expected = registry.ANY_CHAMPION if expect is None else expect
    back = registry.rollback(settings, name, why=why, expected=expected)
    typer.echo(f"{name}: version {back.version} is champion again")


@app.command()
def history(
    ctx: typer.Context,
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show which version was champion when, and why."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    reigns = registry.champion_periods(settings, name)
    if as_json:
        typer.echo(json.dumps([_as_json(reign) for reign in reigns], indent=1))
        return
    if not reigns:
        typer.echo(f"{name} has had no champion yet; `synaug models promote {name} VERSION` makes one")
        return
    table = Table("champion", "since (UTC)", "until (UTC)", "how", "by", "why")
    for reign in reigns:
        since, until = (f"{t:%Y-%m-%d %H:%M:%S}" if t else "" for t in (reign.since, reign.until))
        cells = (reign.version or "none", since, until or ("now" if reign is reigns[0] else ""), *_how(reign))
        table.add_row(*map(escape, cells))
    Console().print(table)


def _how(reign: ChampionPeriod) -> tuple[str, str, str]:
    words = {"promote": "promoted", "rollback": "rolled back", "found": "moved"}
    return words[reign.action], reign.by, reign.why


def _as_json(reign: ChampionPeriod) -> dict[str, str | None]:
    since, until = (t.isoformat() if t else None for t in (reign.since, reign.until))
    return {"champion": reign.version, "since": since, "until": until} | {
        "how": reign.action,
        "by": reign.by,
        "why": reign.why,
    }


def _decision(version: ModelVersion) -> str:
    """What the gate said, and before it who overruled it and why."""
    decision = version.tags.get(Tag.DECISION, "")
    if version.tags.get(Tag.PROMOTED_BY) != "a person":
        return decision
    why = version.tags.get(Tag.PROMOTED_WHY, "")
    promoted = f"promoted by a person: {why}" if why and why != decision else "promoted by a person"
    gate = decision.removeprefix(_REFUSED)
    return "; ".join(
        [promoted, *([decision if gate == decision else f"the gate had refused: {gate}"] if decision else [])]
    )
