"""`synaug report` and `synaug export`: what a run has stored, as text and as files that other programs open."""

from pathlib import Path
from typing import Annotated

import typer

from synaug.cli import environment, output
from synaug_core import errors, vocabulary
from synaug_core.services.mlflow.tags import ArtifactPath, Tag

__all__ = ["export", "report"]


def report(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a retraining, or its first characters.")],
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write the HTML page to this file instead.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the answer and the tables as Markdown, as for a pull request.")
    ] = False,
) -> None:
    """Print the report of a retraining, or write its page to a file."""
    from synaug.cli import stored

    if markdown and page is not None:
        raise errors.UserError("--markdown and --page: give one of the two")
    output.check_place(page, "--page")
    settings = environment.prepare(ctx.obj)
    mlflow = stored.client(settings)
    target_run = stored.find_run(mlflow, run)
    comparison = next(stored.below(mlflow, target_run, "comparison"), None)
    if comparison is None:
        raise errors.UserError(f"{run} has no comparison: give the id of a retraining that is done")
    if markdown:
        with stored.artifact(settings, mlflow, comparison, ArtifactPath.COMPARISON) as file:
            typer.echo(_in_markdown(file, target_run.data.tags.get(Tag.DATASET, "")))
        return
    with stored.artifact(
        settings, mlflow, comparison, ArtifactPath.COMPARISON_TEXT if page is None else ArtifactPath.COMPARISON_PAGE
    ) as file:
        if page is None:
            typer.echo(file.read_text(encoding="utf-8"))
            return
        output.write_whole(file.read_text(encoding="utf-8"), page)
    typer.echo(f"written to {page}")


def export(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters; a retraining brings all below it.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    file_format: Annotated[
        vocabulary.FileFormat | None,
        typer.Option("--format", help="Of a retraining: write its model as one file that needs no synaug, too."),
    ] = None,
) -> None:
    """Write a run's images (PNG in class folders), models, predictions (CSV) and pages into a folder; of a retraining
    also a page to begin with, a model card and a data card."""
    from synaug.cli import stored, take_away

    settings = environment.prepare(ctx.obj)
    with output.filled_at_once(folder.absolute(), "DIR") as partial:
        if not stored.export_run(settings, run, partial):
            raise errors.UserError(f"the run {run} has no artifacts to write")
        has_index = take_away.add_cards(settings, run, partial, file_format)
    typer.echo(f"written to {folder}{f'; begin with {folder / take_away.INDEX}' if has_index else ''}")


def _in_markdown(comparison: Path, name: str) -> str:
    from synaug_core.evaluate.results import Comparison
    from synaug_core.report.markdown.comparison import comparison_markdown

    return comparison_markdown(Comparison.model_validate_json(comparison.read_bytes()), name=name)
