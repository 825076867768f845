"""`synaug models` and `synaug predict`: registered models, which version is champion and was before, and what a model
says of image files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synaug.cli import environment, failures, output
from synaug_core import errors, vocabulary
from synaug_core.services.mlflow.tags import Tag

if TYPE_CHECKING:
    from synaug_core.services.models.registry import ChampionPeriod, ModelVersion

__all__ = ["app", "predict"]

app = typer.Typer(
    no_args_is_help=True,
    help="List registered models and their champions, promote a version, or roll back to the previous champion.",
)

_REFUSED = "Not promoted: "
_SHOWN = 3

Name = Annotated[str, typer.Argument(help="Registered model, such as synaug-digits.")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the history.")]
Expect = Annotated[
    str | None, typer.Option("--expect", metavar="VERSION", help="Only if this version is the champion now.")
]


@app.command("list", epilog=output.examples("synaug models list", "synaug models list synaug-digits"))
def list_models(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this model; default: all that synaug registered.")] = None,
) -> None:
    """Show every version with its aliases and the decision on its promotion."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    model_names = [name] if name else registry.names(settings)
    if not model_names:
        typer.echo("no model is registered yet; `synaug run` registers one")
        return
    rows = [
        (model, version.version, ", ".join(version.aliases), f"{version.created:%Y-%m-%d %H:%M}", _decision(version))
        for model in model_names
        for version in registry.history(settings, model)
    ]
    output.print_rows(("model", "version", "alias", "made (UTC)", "decision"), rows)


@app.command(epilog=output.examples("synaug models promote synaug-digits 3 --why 'sees the nines'"))
def promote(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str, typer.Argument(help="Its number, such as 3.")],
    why: Why = "",
    expect: Expect = None,
) -> None:
    """Make a version the champion; the champion before it becomes `previous`.

    Of two promotions at the same time one succeeds, and the other ends with an error that says so.
    """
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    expected_champion = registry.ANY_CHAMPION if expect is None else expect
    champion = registry.promote(settings, name, version, by="a person", why=why, expected=expected_champion)
    typer.echo(f"{name}: version {champion.version} is champion")


@app.command(epilog=output.examples("synaug models rollback synaug-digits --why 'too many false alarms'"))
def rollback(ctx: typer.Context, name: Name, why: Why = "", expect: Expect = None) -> None:
    """Make the previous champion the champion again."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    expected_champion = registry.ANY_CHAMPION if expect is None else expect
    champion = registry.rollback(settings, name, why=why, expected=expected_champion)
    typer.echo(f"{name}: version {champion.version} is champion again")


@app.command(
    epilog=output.examples("synaug models history synaug-digits", "synaug models history synaug-digits --json")
)
def history(
    ctx: typer.Context,
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show which version was champion when, and why."""
    from synaug_core.services.models import registry

    settings = environment.prepare(ctx.obj)
    periods = registry.champion_periods(settings, name)
    if as_json:
        typer.echo(json.dumps([_as_json(period) for period in periods], indent=1))
        return
    if not periods:
        typer.echo(f"{name} has had no champion yet; `synaug models promote {name} VERSION` makes one")
        return
    rows = [_as_row(period, is_current=period is periods[0]) for period in periods]
    output.print_rows(("champion", "since (UTC)", "until (UTC)", "how", "by", "why"), rows)


def _as_row(period: "ChampionPeriod", is_current: bool) -> tuple[str, ...]:
    since, until = (f"{time:%Y-%m-%d %H:%M:%S}" if time else "" for time in (period.since, period.until))
    how = {"promote": "promoted", "rollback": "rolled back", "found": "moved"}[period.action]
    return period.version or "none", since, until or ("now" if is_current else ""), how, period.by, period.why


def _as_json(period: "ChampionPeriod") -> dict[str, str | None]:
    since, until = (time.isoformat() if time else None for time in (period.since, period.until))
    times = {"champion": period.version, "since": since, "until": until}
    return times | {"how": period.action, "by": period.by, "why": period.why}


def _decision(version: "ModelVersion") -> str:
    """What the gate decided, and before it who overruled it and why."""
    decision = version.tags.get(Tag.DECISION, "")
    if version.tags.get(Tag.PROMOTED_BY) != "a person":
        return decision
    why = version.tags.get(Tag.PROMOTED_WHY, "")
    promotion = f"promoted by a person: {why}" if why and why != decision else "promoted by a person"
    gate = decision.removeprefix(_REFUSED)
    return "; ".join(
        [promotion, *([decision if gate == decision else f"the gate had refused: {gate}"] if decision else [])]
    )


def predict(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="Registered model, NAME (its champion), NAME@ALIAS or NAME@VERSION, or a saved classifier's folder."
        ),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: one object for each image.")] = False,
    fit: Annotated[
        vocabulary.Fit | None,
        typer.Option(help="How images become square; default: as in training, or crop."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print the class and the probabilities of each image.

    Files that cannot be read are named on stderr, and the exit code is 2; the others are classified.
    """
    from synaug import loading

    classifier, preprocessing = loading.open_classifier(environment.prepare(ctx.obj), model, device)
    if fit is not None:
        preprocessing = preprocessing.model_copy(update={"fit": fit})
    answers, unreadable = loading.classify_files(classifier, images, preprocessing)
    if as_json:
        typer.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        for answer in answers:
            typer.echo(failures.printable(_answer_line(answer)))
    if unreadable:
        raise errors.DataError("\n".join(failures.printable(line) for line in unreadable))


def _answer_line(answer: dict[str, Any]) -> str:
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    top_classes = ", ".join(f"{name} {p:.3f}" for name, p in ranked[:_SHOWN])
    remainder = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"{answer['file']}: {answer['class']} ({top_classes}{remainder})"
