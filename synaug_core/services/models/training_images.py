"""The real images behind a registered version: those of the retraining that made it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaug_core.errors import UserError
from synaug_core.services import retry, settings
from synaug_core.services.mlflow import artifacts, clients, tags
from synaug_core.services.models.registry import ModelVersion

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet

__all__ = ["images_behind"]

_FOLDER = re.compile(r"(draw-\d+/)?")
"""What a version may name as its images' folder: nobody's word makes another path of it."""


def images_behind(current: settings.Settings, version: ModelVersion, splits: Sequence[str]) -> ImageSet:
    """The images of some splits (`train`, `val`, `test`) of a version's data set, one after the other.

    Raises:
        UserError: the version does not say which retraining made it, or that has no data set.
        ArtifactError: images are missing or damaged.
        MlflowException: MLflow cannot say.
    """
    from synaug_core.data import imageset, parquet

    place, folder = _place(clients.client(current), version), version.tags.get(tags.Tag.IMAGES_FOLDER, "")
    if not _FOLDER.fullmatch(folder):
        raise UserError(f"{version.name} version {version.version}: {tags.Tag.IMAGES_FOLDER} names no draw's folder")
    with tempfile.TemporaryDirectory(prefix="synaug-") as scratch:
        splits_read = [
            parquet.read(artifacts.fetch_uri(current, f"{place}/{part}images/{split}.parquet", Path(scratch)))
            for split in splits
            for part in ("" if split == "test" else folder,)  # draws share their test part
        ]
    return imageset.concatenate([images for images in splits_read if len(images)] or splits_read[:1])


def _place(mlflow: Any, version: ModelVersion) -> str:
    """The artifacts of the dataset run of the retraining."""
    from mlflow.exceptions import MlflowException

    unknown = UserError(
        f"the images that {version.name} version {version.version} was made from are not in this store; "
        "`synaug run` registers versions that know them"
    )
    retraining = version.tags.get(tags.Tag.RETRAINING)
    if retraining is None:
        raise unknown
    try:
        parent = retry.patiently(mlflow.get_run, retraining)
        condition = f"tags.`{tags.Tag.PARENT}` = '{parent.info.run_id}' and tags.`{tags.Tag.STAGE}` = 'dataset'"
        dataset_runs = retry.patiently(mlflow.search_runs, [parent.info.experiment_id], filter_string=condition)
        if not dataset_runs:
            raise unknown
        # a run that stands for an earlier one leaves the files there
        earlier = dataset_runs[0].data.tags.get(tags.Tag.REUSED)
        holder = retry.patiently(mlflow.get_run, earlier) if earlier else dataset_runs[0]
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # the tag names no run
            raise
        raise unknown from error
    return str(holder.info.artifact_uri).rstrip("/")
