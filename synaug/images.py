"""`synaug.load_images`: a stored image set as arrays and a table."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synaug import process
from synaug.cli import exporting, stored
from synaug_core import errors, refs
from synaug_core.data import imageset, parquet
from synaug_core.services.mlflow import artifacts, clients

__all__ = ["Images", "load_images"]


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Attributes:
        images: uint8 (n, height, width, 1 or 3).
        labels: int64 (n,), indices into `classes`.
        classes: class names; a class may have no image.
        frame: a row for each image: `id`, `class`, `group`, `provenance` (JSON: where it is from, or how made)
            and `run`, the name of the run that holds it.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.frame["class"].value_counts(sort=False).items())
        return f"<Images {self.images.shape}: {counts}>"


def load_images(reference: str | refs.Reference, name: str = "synthetic") -> Images:
    """The images of a set that a run stored; where several runs below it have one, one after the other.

    Args:
        reference: the id of a run, or how it begins; of a retraining, the runs below it are searched too. Or the
            reference of an image set, as steps return it.
        name: of the set: `synthetic` (made images), or `train`, `val`, `test` of the data set.

    Raises:
        UserError: there is no such run, or no such set in it.
        ArtifactError: its file is missing or damaged.
    """
    current = process.open_home()
    if isinstance(reference, refs.Reference):
        one = parquet.read(artifacts.fetch(reference))
        return _as_arrays(one, [reference.run_id] * len(one))
    mlflow = clients.client(current)
    top = stored.find_run(mlflow, reference)
    runs = (top, *exporting.runs_below(mlflow, top))
    files = [(run, PurePosixPath(path)) for run in runs for path in stored.image_sets(mlflow, run)]
    matching = [(run, path) for run, path in files if path.stem == name]
    if not matching:
        set_names = ", ".join(sorted({path.stem for _, path in files})) or "none"
        raise errors.UserError(f"the run {reference} holds no images {name!r}; it has {set_names}")
    sets: list[imageset.ImageSet] = []
    for run, path in matching:
        with stored.artifact(current, mlflow, run, str(path)) as file:
            sets.append(parquet.read(file))
    names = [run.info.run_name for (run, _), one in zip(matching, sets, strict=True) for _ in range(len(one))]
    return _as_arrays(imageset.concatenate(sets), names)


def _as_arrays(stored_set: imageset.ImageSet, run_names: list[str]) -> Images:
    labels = stored_set.labels.numpy()
    return Images(
        images=stored_set.images.permute(0, 2, 3, 1).contiguous().numpy(),
        labels=labels,
        classes=stored_set.classes,
        frame=pd.DataFrame(
            {
                "id": stored_set.ids,
                "class": pd.Categorical.from_codes(labels, pd.Index(list(stored_set.classes))),
                "group": stored_set.groups,
                "provenance": stored_set.provenance,
                "run": run_names,
            }
        ),
    )
