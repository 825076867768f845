"""Runs and their files in the store, by what a user types."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synaug_core.errors import UserError
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import Settings

__all__ = ["above", "artifact", "below", "files_holder", "find_run", "image_sets"]

_SHORTEST = 4


def find_run(mlflow: Any, text: str) -> Any:
    """The run with this id, or whose id alone begins so.

    Raises:
        UserError: no id, no such run, or several.
    """
    from synaug_core.services.retry import every_result, patiently

    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},32}}", text):
        raise UserError(
            f"RUN: {text!r} is not the id of a run; `synaug ui` shows the ids, and the first {_SHORTEST} characters "
            "of one are enough"
        )
    numbers = [e.experiment_id for e in every_result(mlflow.search_experiments)]
    runs = patiently(mlflow.search_runs, numbers, filter_string=f"attributes.run_id LIKE '{text}%'", max_results=5)
    if not runs:
        raise UserError(f"there is no run {text!r} in this store; `synaug ui` shows the ids of those there are")
    if len(runs) > 1:
        raise UserError(f"RUN: {text} is the beginning of several ids: {', '.join(r.info.run_id for r in runs)}")
    return runs[0]


def above(mlflow: Any, run: Any) -> list[Any]:
    """The runs above a run, nearest first."""
    from synaug_core.services.retry import patiently

    ancestors: list[Any] = []
    while (parent := run.data.tags.get(Tag.PARENT)) and all(parent != a.info.run_id for a in ancestors):
        run = patiently(mlflow.get_run, parent)
        ancestors.append(run)
    return ancestors


def below(mlflow: Any, run: Any, stage: str) -> Iterator[Any]:
    """The runs of one stage right below a run, oldest first."""
    from synaug_core.services.retry import every_result

    condition = f"tags.`{Tag.PARENT}` = '{run.info.run_id}' and tags.`{Tag.STAGE}` = '{stage}'"
    order = ["attributes.start_time ASC"]
    return every_result(mlflow.search_runs, [run.info.experiment_id], filter_string=condition, order_by=order)


def files_holder(mlflow: Any, run: Any) -> Any:
    """The run that has a run's files: itself, or the earlier one that it stands for."""
    from synaug_core.services.retry import patiently

    return patiently(mlflow.get_run, run.data.tags[Tag.REUSED]) if Tag.REUSED in run.data.tags else run


def image_sets(mlflow: Any, run: Any) -> list[str]:
    """Paths of the image sets among a run's files."""
    from synaug_core.services.retry import patiently

    files = patiently(mlflow.list_artifacts, files_holder(mlflow, run).info.run_id, "images")
    return [file.path for file in files if file.path.endswith(".parquet")]


@contextlib.contextmanager
def artifact(settings: Settings, mlflow: Any, run: Any, path: str) -> Iterator[Path]:
    """A local copy of one of a run's files, while the block lasts.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    from synaug_core.services.mlflow.artifacts import fetch_uri

    holder = files_holder(mlflow, run)
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        yield fetch_uri(settings, f"{holder.info.artifact_uri.rstrip('/')}/{path}", Path(folder))
