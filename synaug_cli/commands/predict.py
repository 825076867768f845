"""`synaug predict`: what a trained classifier says of image files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import torch

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.services.settings import Settings

__all__ = ["predict"]

_AT_ONCE = 256
_SHOWN = 3

Fit = Literal["crop", "pad", "stretch"]


def predict(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Registered model, NAME or NAME@ALIAS (default: champion), or a saved one's folder.")
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: one object for each image.")] = False,
    fit: Annotated[
        Fit | None,
        typer.Option(help="How images that are not square are made so; default: as in training, or crop."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print the class and the probabilities of each image."""
    from synaug_cli import environment
    from synaug_cli.failures import printable
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.devices import resolve
    from synaug_core.errors import ArtifactError, UserError

    settings = environment.prepare(ctx.obj)
    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        folder, its_fit = _fetched(settings, model, Path(staging))
        try:
            classifier = TrainedClassifier.load(folder, resolve(device))
        except ArtifactError as error:
            if not Path(model).is_dir():
                raise
            raise UserError(f"MODEL: {error}") from error
    found = _classify(classifier, images, fit or its_fit)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for answer in found:
        typer.echo(printable(_line(answer)))


def _fetched(settings: Settings, model: str, staging: Path) -> tuple[Path, Fit]:
    """The folder of a saved classifier (given, inside a given MLflow model, or a registered version's), and how its
    training images were made square."""
    from synaug_cli.registered import name_and_alias
    from synaug_core.errors import UserError
    from synaug_core.services import registry
    from synaug_core.services.serving import classifier_folder, described_fit, trained_fit

    given = Path(model)
    if given.is_dir():
        inner = given / "artifacts" / "classifier"
        return (inner, described_fit(given / "MLmodel")) if inner.is_dir() else (given, "crop")
    name, alias = name_and_alias(model)
    version = registry.current(settings, name, alias)
    if version is None:
        raise UserError(f"MODEL: {_why_not(settings, name, alias)}")
    return classifier_folder(settings, version.source, staging), trained_fit(settings, version.source, staging)


def _why_not(settings: Settings, name: str, alias: str) -> str:
    from synaug_core.services import registry

    known = registry.names(settings)
    if name not in known:
        return f"{name!r} is neither a folder nor a registered model; {registry.in_words(known)}"
    aliases = sorted({f"{name}@{a}" for version in registry.history(settings, name) for a in version.aliases})
    return f"{name} has no {alias}" + (f"; try {' or '.join(aliases)}" if aliases else "")


def _classify(classifier: TrainedClassifier, images: Sequence[Path], fit: Fit) -> list[dict[str, Any]]:
    from synaug_core.services.service_answer import one_image

    found: list[dict[str, Any]] = []
    for start in range(0, len(images), _AT_ONCE):
        chunk = images[start : start + _AT_ONCE]
        for path, row in zip(chunk, classifier.predict(_pixels(classifier, chunk, fit)).tolist(), strict=True):
            found.append(one_image(str(path), classifier.classes, row))
    return found


def _pixels(classifier: TrainedClassifier, paths: Sequence[Path], fit: Fit) -> torch.Tensor:
    """uint8, shape (n, channels, size, size)."""
    import numpy as np
    import torch

    from synaug_core.data.decode import UnreadableError, load_square
    from synaug_core.errors import DataError

    read = []
    for path in paths:
        try:
            read.append(load_square(path.read_bytes(), classifier.size, classifier.channels, fit=fit))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({(error.strerror or 'unknown reason').lower()})") from error
        except UnreadableError as error:
            raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.stack(read))


def _line(answer: dict[str, Any]) -> str:
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    rest = ", ".join(f"{name} {p:.3f}" for name, p in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"{answer['file']}: {answer['class']} ({rest}{more})"
