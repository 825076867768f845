"""`synaug predict`: what a trained classifier says of image files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synaug_core.vocabulary import Fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["predict"]

_AT_ONCE = 256
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
        Fit | None,
        typer.Option(help="How images that are not square are made so; default: as in training, or crop."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print the class and the probabilities of each image.

    Files that cannot be read are named on stderr, and the exit code is 2; the others are classified.
    """
    from synaug.cli import environment, failures
    from synaug.models import open_classifier
    from synaug_core.errors import DataError

    classifier, trained_fit = open_classifier(environment.prepare(ctx.obj), model, device)
    answers, unread = _classify(classifier, images, fit or trained_fit)
    if as_json:
        typer.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        for answer in answers:
            typer.echo(failures.printable(_line(answer)))
    if unread:
        raise DataError("\n".join(failures.printable(line) for line in unread))


def _classify(
    classifier: TrainedClassifier, images: Sequence[Path], fit: Fit
) -> tuple[list[dict[str, Any]], list[str]]:
    """An answer for each image that can be read, and a line on each that cannot."""
    import numpy as np
    import torch

    from synaug_core.serving.answer import one_image

    answers: list[dict[str, Any]] = []
    unread: list[str] = []
    for start in range(0, len(images), _AT_ONCE):
        read, lines = _read_pictures(classifier, images[start : start + _AT_ONCE], fit)
        unread += lines
        if read:
            rows = classifier.predict(torch.from_numpy(np.stack([pixels for _, pixels in read]))).tolist()
            answers += [
                one_image(str(path), classifier.classes, row) for (path, _), row in zip(read, rows, strict=True)
            ]
    return answers, unread


def _read_pictures(
    classifier: TrainedClassifier, paths: Sequence[Path], fit: Fit
) -> tuple[list[tuple[Path, NDArray[np.uint8]]], list[str]]:
    """The pixels of each file that can be read, (channels, size, size), and a line on each that cannot."""
    from synaug_core.data.decode import UnreadableError, load_square

    read: list[tuple[Path, NDArray[np.uint8]]] = []
    lines = []
    for path in paths:
        try:
            pixels = load_square(path.read_bytes(), classifier.size, classifier.channels, fit=fit)
            read.append((path, pixels))
        except IsADirectoryError:
            lines.append(f"{path} is a folder; name its images, such as {path}/*.png")
        except OSError as error:
            lines.append(f"{path}: cannot be read ({(error.strerror or 'unknown reason').lower()})")
        except UnreadableError as error:
            lines.append(f"{path}: {error}")
    return read, lines


def _line(answer: dict[str, Any]) -> str:
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    rest = ", ".join(f"{name} {p:.3f}" for name, p in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"{answer['file']}: {answer['class']} ({rest}{more})"
