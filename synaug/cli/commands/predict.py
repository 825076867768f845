"""`synaug predict`: what a trained classifier says of image files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from synaug.cli import environment, failures
from synaug_core import errors, vocabulary

__all__ = ["predict"]

_SHOWN = 3


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
        typer.Option(help="How images that are not square are made so; default: as in training, or crop."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print the class and the probabilities of each image.

    Files that cannot be read are named on stderr, and the exit code is 2; the others are classified.
    """
    from synaug import loading

    classifier, trained_fit = loading.open_classifier(environment.prepare(ctx.obj), model, device)
    answers, unreadable = loading.classify_files(classifier, images, fit or trained_fit)
    if as_json:
        typer.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        for answer in answers:
            typer.echo(failures.printable(_line(answer)))
    if unreadable:
        raise errors.DataError("\n".join(failures.printable(line) for line in unreadable))


def _line(answer: dict[str, Any]) -> str:
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    rest = ", ".join(f"{name} {p:.3f}" for name, p in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"{answer['file']}: {answer['class']} ({rest}{more})"
