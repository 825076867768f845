"""Runs, their files and registered models: found by what a user types, and exported as files that other programs open.

Exported images are PNG in class folders, predictions are CSV, and the rest is as it is.
"""

import contextlib
import csv
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from synaug_core import errors, names, vocabulary
from synaug_core.services import retry
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.models import registry
from synaug_core.services.settings import Settings

__all__ = [
    "above",
    "artifact",
    "below",
    "client",
    "export_run",
    "find_run",
    "image_sets",
    "name_and_alias",
    "named_version",
    "runs_below",
]

_SHORTEST = 4


def find_run(mlflow: Any, text: str) -> Any:
    """The run with this id, or the only one whose id begins with the text.

    Raises:
        UserError: the text is not an id, or no run or several runs match.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},32}}", text):
        raise errors.UserError(
            f"RUN: {text!r} is not the id of a run; `synaug ui` shows the ids, and the first {_SHORTEST} characters "
            "of one are enough"
        )
    experiment_ids = [experiment.experiment_id for experiment in retry.every_result(mlflow.search_experiments)]
    runs = retry.patiently(
        mlflow.search_runs, experiment_ids, filter_string=f"attributes.run_id LIKE '{text}%'", max_results=5
    )
    if not runs:
        raise errors.UserError(f"there is no run {text!r} in this store; `synaug ui` shows the ids of its runs")
    if len(runs) > 1:
        raise errors.UserError(
            f"RUN: {text} is the beginning of several ids: {', '.join(run.info.run_id for run in runs)}"
        )
    return runs[0]


def above(mlflow: Any, run: Any) -> list[Any]:
    """The runs above a run, nearest first."""
    ancestors: list[Any] = []
    while (parent := run.data.tags.get(Tag.PARENT)) and all(parent != ancestor.info.run_id for ancestor in ancestors):
        run = retry.patiently(mlflow.get_run, parent)
        ancestors.append(run)
    return ancestors


def below(mlflow: Any, run: Any, stage: str) -> Iterator[Any]:
    """The runs of one stage right below a run, oldest first."""
    condition = f"tags.`{Tag.PARENT}` = '{run.info.run_id}' and tags.`{Tag.STAGE}` = '{stage}'"
    order = ["attributes.start_time ASC"]
    return retry.every_result(mlflow.search_runs, [run.info.experiment_id], filter_string=condition, order_by=order)


def _files_holder(mlflow: Any, run: Any) -> Any:
    """The run that holds a run's files: itself, or the earlier one that it reuses."""
    return retry.patiently(mlflow.get_run, run.data.tags[Tag.REUSED]) if Tag.REUSED in run.data.tags else run


def image_sets(mlflow: Any, run: Any) -> list[str]:
    """Paths of the image sets among a run's files."""
    files = retry.patiently(mlflow.list_artifacts, _files_holder(mlflow, run).info.run_id, ArtifactPath.IMAGES)
    return [file.path for file in files if file.path.endswith(".parquet")]


@contextlib.contextmanager
def artifact(settings: Settings, mlflow: Any, run: Any, path: str) -> Iterator[Path]:
    """A local copy of one of a run's files, while the block lasts.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    holder = _files_holder(mlflow, run)
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        yield artifacts.fetch_uri(settings, f"{holder.info.artifact_uri.rstrip('/')}/{path}", Path(folder))


def runs_below(mlflow: Any, run: Any) -> Iterator[Any]:
    """The runs below a run, at any depth; searched trials hold no files and are left out."""
    condition = f"tags.`{Tag.PARENT}` = '{run.info.run_id}' and tags.`{Tag.STAGE}` != 'trial'"
    for child in retry.every_result(mlflow.search_runs, [run.info.experiment_id], filter_string=condition):
        yield child
        yield from runs_below(mlflow, child)


def name_and_alias(model: str) -> tuple[str, vocabulary.Alias]:
    """The name and the alias in NAME or NAME@ALIAS; without an alias it is the champion.

    Raises:
        UserError: there is no such alias.
    """
    name, _, selector = model.partition("@")
    if _is_number(selector):
        raise errors.UserError(
            f"MODEL: give an alias, not version {selector}; `synaug models promote {name} {selector}` makes it champion"
        )
    aliases: dict[str, vocabulary.Alias] = {alias: alias for alias in get_args(vocabulary.Alias)}
    if (alias := aliases.get(selector or "champion")) is None:
        raise errors.UserError(f"MODEL: there is no alias {selector!r}; aliases are {', '.join(aliases)}")
    return name, alias


def named_version(settings: Settings, model: str) -> registry.ModelVersion:
    """The version that NAME, NAME@ALIAS or NAME@VERSION names; NAME alone is its champion.

    Raises:
        UserError: there is none.
    """
    name, _, selector = model.partition("@")
    if _is_number(selector):
        versions = registry.history(settings, name) if name in registry.names(settings) else []
        model_version = next((version for version in versions if version.version == selector), None)
    else:
        name, alias = name_and_alias(model)
        selector, model_version = alias, registry.current(settings, name, alias)
    if model_version is None:
        raise errors.UserError(f"MODEL: {_why_not(settings, name, selector)}")
    return model_version


def _why_not(settings: Settings, name: str, selector: str) -> str:
    known_names = registry.names(settings)
    if name not in known_names:
        return f"{name!r} is neither a classifier's folder nor a registered model; {registry.in_words(known_names)}"
    versions = registry.history(settings, name)
    if _is_number(selector):
        return f"{name} has no version {selector}; it has {', '.join(v.version for v in reversed(versions))}"
    aliases = sorted({f"{name}@{alias}" for version in versions for alias in version.aliases})
    return f"{name} has no {selector}" + (f"; try {' or '.join(aliases)}" if aliases else "")


def _is_number(selector: str) -> bool:
    return selector.isascii() and selector.isdigit()


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
    mlflow = client(settings)
    top = find_run(mlflow, run_id)
    folders = {top.info.run_id: folder}
    run_count = int(_export_one(settings, mlflow, top, folder))
    for run in runs_below(mlflow, top):
        stage = names.slug(run.data.tags.get(Tag.STAGE, "run"))
        name = names.slug(run.info.run_name or run.info.run_id)
        run_folder = folder / stage if name == stage else folder / stage / name
        if run_folder in folders.values():
            run_folder = folder / stage / f"{name}-{run.info.run_id[:8]}"
        folders[run.info.run_id] = run_folder
        run_count += _export_one(settings, mlflow, run, run_folder)
    return run_count


def _export_one(settings: Settings, mlflow: Any, run: Any, folder: Path) -> bool:
    """Write one run's artifacts and models into `folder`; false where it has none."""
    holder = _files_holder(mlflow, run)
    entries = retry.patiently(mlflow.list_artifacts, holder.info.run_id)
    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        for entry in entries:
            uri = f"{holder.info.artifact_uri.rstrip('/')}/{PurePosixPath(entry.path).name}"
            _copy_readable(artifacts.fetch_uri(settings, uri, Path(staging)), folder)
        has_own_models = run.data.tags.get(Tag.STAGE) != "arm"  # an arm shows the model of one of its repetitions
        models = holder.outputs.model_outputs if holder.outputs and has_own_models else []
        for number, output in enumerate(models, start=1):
            model = retry.patiently(mlflow.get_logged_model, output.model_id)
            local_copy = artifacts.fetch_uri(settings, model.artifact_location, Path(staging) / "models")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(local_copy, folder / ("model" if number == 1 else f"model-{number}"))
    return bool(entries or models)


def _copy_readable(source: Path, folder: Path) -> None:
    """Copy an artifact: image sets and predictions in their readable form, anything else as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and source.name in {ArtifactPath.IMAGES, ArtifactPath.PREDICTIONS}:
        for file in sorted(source.rglob("*.parquet")):
            if source.name == ArtifactPath.IMAGES:
                _write_images(file, folder / ArtifactPath.IMAGES / names.slug(file.stem))
            else:
                _write_predictions(file, folder / ArtifactPath.PREDICTIONS / f"{names.slug(file.stem)}.csv")
    elif source.is_dir():
        shutil.copytree(source, folder / source.name)
    else:
        shutil.copy2(source, folder / source.name)


def _write_images(source: Path, folder: Path) -> None:
    """One PNG an image in class folders, and `images.csv` with each one's class, id, group and origin.

    Folders and files are named by slugs: a class name or id never leaves `folder`.
    """
    from PIL import Image

    from synaug_core.data import parquet

    images = parquet.read(source)
    folders = names.slugs(images.classes)
    for name in folders.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    labels = images.labels.tolist()
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "class", "id", "group", "provenance"])
        for i, label in enumerate(labels):
            name = images.classes[label]
            file_name = f"{folders[name]}/{i:05d}-{names.slug(images.ids[i])}.png"
            pixels = images.images[i].permute(1, 2, 0).numpy()
            Image.fromarray(pixels[..., 0] if images.channels == 1 else pixels).save(folder / file_name)
            rows.writerow([file_name, *map(_harmless, (name, images.ids[i], images.groups[i])), images.provenance[i]])


def _write_predictions(source: Path, target: Path) -> None:
    """A CSV file: id, class, predicted class, and a column of probabilities for each class."""
    from synaug_core.evaluate.predictions import Predictions

    table = Predictions.read(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "class", "predicted", *(f"p({class_name})" for class_name in table.classes)])
        columns = (table.ids, table.labels, table.predicted, table.probabilities)
        for name, label, predicted, probabilities in zip(*columns, strict=True):
            row = [f"{value:.6g}" for value in probabilities.tolist()]
            rows.writerow([*map(_harmless, (name, table.classes[label], table.classes[predicted])), *row])


def _harmless(text: str) -> str:
    """The text, quoted where a spreadsheet would run it as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
