"""A run's artifacts as files that other programs open: PNG in class folders, CSV, and the rest as it is."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from synaug.cli.stored import files_holder, find_run
from synaug_core.names import slug, slugs
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet

__all__ = ["export_run", "runs_below", "write_images", "write_predictions"]


def export_run(settings: Settings, run_id: str, folder: Path) -> int:
    """Write a run's artifacts into `folder`, and those of the runs below it into folders by stage and name.

    Args:
        settings: where MLflow is.
        run_id: whole, or its first characters.
        folder: to write to.

    Returns:
        The number of runs that had something to write.

    Raises:
        UserError: there is no such run, or several begin so.
        ArtifactError: an artifact is missing or cannot be read.
    """
    from synaug_core.services.mlflow.clients import client

    mlflow = client(settings)
    top = find_run(mlflow, run_id)
    written = int(_export_one(settings, mlflow, top, folder))
    used_folders: set[Path] = set()
    for run in runs_below(mlflow, top):
        stage = slug(run.data.tags.get(Tag.STAGE, "run"))
        name = slug(run.info.run_name or run.info.run_id)
        place = Path(stage) if name == stage else Path(stage, name)
        if place in used_folders:
            place = Path(stage, f"{name}-{run.info.run_id[:8]}")
        used_folders.add(place)
        written += _export_one(settings, mlflow, run, folder / place)
    return written


def runs_below(mlflow: Any, run: Any) -> Iterator[Any]:
    """The runs below a run, at any depth; searched trials hold no files and are left out."""
    from synaug_core.services.retry import patiently

    condition = f"tags.`{Tag.PARENT}` = '{run.info.run_id}' and tags.`{Tag.STAGE}` != 'trial'"
    token = None
    while True:
        page = patiently(mlflow.search_runs, [run.info.experiment_id], filter_string=condition, page_token=token)
        for child in page:
            yield child
            yield from runs_below(mlflow, child)
        token = page.token
        if not token:
            return


def _export_one(settings: Settings, mlflow: Any, run: Any, folder: Path) -> bool:
    from synaug_core.services.mlflow.artifacts import fetch_uri
    from synaug_core.services.retry import patiently

    holder = files_holder(mlflow, run)
    items = patiently(mlflow.list_artifacts, holder.info.run_id)
    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        for item in items:
            name = PurePosixPath(item.path).name
            fetched = fetch_uri(settings, f"{holder.info.artifact_uri.rstrip('/')}/{name}", Path(staging))
            _place(fetched, folder)
        models = holder.outputs.model_outputs if holder.outputs else []
        for number, output in enumerate(models, start=1):
            model = patiently(mlflow.get_logged_model, output.model_id)
            fetched = fetch_uri(settings, model.artifact_location, Path(staging) / "models")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(fetched, folder / ("model" if number == 1 else f"model-{number}"))
    return bool(items or models)


def _place(fetched: Path, folder: Path) -> None:
    """Image sets and predictions in their readable form, anything else as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if fetched.is_dir() and fetched.name in {"images", "predictions"}:
        for file in sorted(fetched.rglob("*.parquet")):
            if fetched.name == "images":
                from synaug_core.data import parquet

                write_images(parquet.read(file), folder / "images" / slug(file.stem))
            else:
                write_predictions(file, folder / "predictions" / f"{slug(file.stem)}.csv")
    elif fetched.is_dir():
        shutil.copytree(fetched, folder / fetched.name)
    else:
        shutil.copy2(fetched, folder / fetched.name)


def write_images(images: ImageSet, folder: Path) -> None:
    """One PNG an image in class folders, and `images.csv` with each one's class, id, group and origin.

    Folders and files are named by slugs: a class name or id never leaves `folder`.
    """
    from PIL import Image

    folders = slugs(images.classes)
    for name in folders.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    labels = images.labels.tolist()
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "class", "id", "group", "provenance"])
        for i, label in enumerate(labels):
            name = images.classes[label]
            inner = f"{folders[name]}/{i:05d}-{slug(images.ids[i])}.png"
            pixels = images.images[i].permute(1, 2, 0).numpy()
            Image.fromarray(pixels[..., 0] if images.channels == 1 else pixels).save(folder / inner)
            rows.writerow([inner, *map(_harmless, (name, images.ids[i], images.groups[i])), images.provenance[i]])


def write_predictions(source: Path, target: Path) -> None:
    """A CSV file: id, class, predicted class, and a column of probabilities for each class."""
    from synaug_core.evaluate.predictions import Predictions

    table = Predictions.read(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "class", "predicted", *(f"p({c})" for c in table.classes)])
        for name, label, best, p in zip(table.ids, table.labels, table.predicted, table.probabilities, strict=True):
            row = [f"{value:.6g}" for value in p.tolist()]
            rows.writerow(
                [
                    _harmless(name),
                    _harmless(table.classes[label]),
                    _harmless(table.classes[best]),
                    *row,
                ]
            )


def _harmless(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
