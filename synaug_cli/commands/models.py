"""`synaug models`: registered models, their versions, and which of them serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from synaug_core.services.registry import ModelVersion

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List registered models, promote a version, or go back to the one before.")

Name = Annotated[str, typer.Argument(help="Registered model, such as synaug-digits.")]


@app.command("list")
def list_models(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this model; default: all that synaug registered.")] = None,
) -> None:
    """Show every version with its aliases and what decided on it."""
    from rich.console import Console
    from rich.table import Table

    from synaug_cli import environment
    from synaug_core.services import registry

    settings = environment.prepare(ctx.obj)
    wanted = [name] if name else registry.names(settings)
    if not wanted:
        typer.echo("no model is registered yet; `synaug run` registers one")
        return
    table = Table("model", "version", "alias", "made (UTC)", "decision")
    for model in wanted:
        for version in registry.history(settings, model):
            made = f"{version.created:%Y-%m-%d %H:%M}"
            table.add_row(model, version.version, ", ".join(version.aliases), made, _decision(version))
    Console().print(table)


@app.command()
def promote(
    ctx: typer.Context, name: Name, version: Annotated[str, typer.Argument(help="Its number, such as 3.")]
) -> None:
    """Make a version the champion; the champion before it becomes `previous`."""
    from synaug_cli import environment
    from synaug_core.services import registry

    settings = environment.prepare(ctx.obj)
    promoted = registry.promote(settings, name, version, {"synaug.promoted_by": "a person"})
    typer.echo(f"{name}: version {promoted.version} is champion")


@app.command()
def rollback(ctx: typer.Context, name: Name) -> None:
    """Make the previous champion the champion again."""
    from synaug_cli import environment
    from synaug_core.services import registry

    settings = environment.prepare(ctx.obj)
    back = registry.rollback(settings, name)
    typer.echo(f"{name}: version {back.version} is champion again")


def _decision(version: ModelVersion) -> str:
    by_hand = "promoted by a person; " if version.tags.get("synaug.promoted_by") else ""
    return by_hand + version.tags.get("synaug.decision", "")
