"""`synaug.load_model` and `synaug.load_images`: what a home holds, as a classifier that predicts and as arrays."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from synaug.cli import environment, stored
from synaug_core import devices, errors, refs
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data import decode, imageset, parquet
from synaug_core.data.scaling import Preprocessing
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.tags import ArtifactPath
from synaug_core.services.models import exported
from synaug_core.services.settings import Settings
from synaug_core.serving.answer import one_image

__all__ = ["Images", "Model", "classify_files", "load_images", "load_model", "open_classifier"]

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Model:
    """A trained classifier.

    Attributes:
        name: what it was loaded by.
        classifier: the classifier itself.
        preprocessing: how image files become what it sees.
    """

    name: str
    classifier: TrainedClassifier
    preprocessing: Preprocessing

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.classifier.classes)

    def predict(self, images: Any) -> pd.DataFrame:
        """Classify images, decoded as the training images were.

        Args:
            images: one image or several: a path, an image file's bytes, a PIL image, or a uint8 array (height,
                width) or (height, width, 1 or 3); several also as one array (n, height, width, 1 or 3).

        Returns:
            A row for each image, named by its path or position: `class`, `probability`, and `p(CLASS)` of each class.

        Raises:
            DataError: images that cannot be read; one line for each.
        """
        pixels: list[NDArray[np.uint8]] = []
        names: list[str | int] = []
        problems: list[str] = []
        for number, image in enumerate(_separate(images)):
            names.append(str(image) if isinstance(image, str | Path) else number)
            try:
                size, channels = self.classifier.size, self.classifier.channels
                pixels.append(decode.load_square(_file_content(image), size, channels, self.preprocessing))
            except (OSError, decode.UnreadableError, TypeError, ValueError) as error:
                problems.append(f"image {names[-1]}: {error}")
        if problems:
            raise errors.DataError("\n".join(problems))
        columns = [f"p({name})" for name in self.classes]
        if not pixels:
            return pd.DataFrame(columns=["class", "probability", *columns])
        rows = self.classifier.predict(torch.from_numpy(np.stack(pixels)))
        table = pd.DataFrame(rows, index=names, columns=columns)
        table.insert(0, "class", [self.classes[i] for i in rows.argmax(axis=1)])
        table.insert(1, "probability", rows.max(axis=1))
        return table


def load_model(name: str | Path, device: str = "auto") -> Model:
    """A registered model, or a saved classifier's folder.

    Args:
        name: NAME (its champion), NAME@ALIAS, NAME@VERSION or a folder, as of the command `synaug predict`.
        device: auto, cpu or cuda.

    Raises:
        UserError: there is no such model.
        ArtifactError: its files are missing or damaged.
    """
    return Model(str(name), *open_classifier(environment.open_home(), str(name), device))


def open_classifier(settings: Settings, model: str, device: str) -> tuple[TrainedClassifier, Preprocessing]:
    """A classifier by its name or folder, and how its training images were read. Raises as `load_model`."""
    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        folder, preprocessing = _locate(settings, model, Path(staging))
        try:
            return TrainedClassifier.load(folder, devices.resolve(device)), preprocessing
        except errors.ArtifactError as error:
            if not Path(model).is_dir():
                raise
            raise errors.UserError(f"MODEL: {error}") from error


def classify_files(
    classifier: TrainedClassifier, paths: Sequence[Path], preprocessing: Preprocessing
) -> tuple[list[dict[str, Any]], list[str]]:
    """Classify image files: an answer for each that can be read, and a line on each that cannot."""
    answers: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for start in range(0, len(paths), _BATCH_SIZE):
        readable: list[Path] = []
        pixels: list[NDArray[np.uint8]] = []
        for path in paths[start : start + _BATCH_SIZE]:
            try:
                content = path.read_bytes()
                pixels.append(decode.load_square(content, classifier.size, classifier.channels, preprocessing))
                readable.append(path)
            except IsADirectoryError:
                unreadable.append(f"{path} is a folder; name its images, such as {path}/*.png")
            except OSError as error:
                unreadable.append(f"{path}: cannot be read ({(error.strerror or 'unknown reason').lower()})")
            except decode.UnreadableError as error:
                unreadable.append(f"{path}: {error}")
        if readable:
            rows = classifier.predict(torch.from_numpy(np.stack(pixels))).tolist()
            answers += [one_image(str(path), classifier.classes, row) for path, row in zip(readable, rows, strict=True)]
    return answers, unreadable


def _locate(settings: Settings, model: str, staging: Path) -> tuple[Path, Preprocessing]:
    """The folder of a saved classifier (itself, in an MLflow model's folder, or of a registered version), and how its
    training images were read."""
    folder = Path(model)
    if folder.is_dir():
        inner = folder / "artifacts" / ArtifactPath.CLASSIFIER
        if inner.is_dir():
            return inner, exported.described_preprocessing(folder / "MLmodel")
        # A folder that merely has a model's name hides no model.
        if TrainedClassifier.is_in(folder) or folder.name != model:
            return folder, Preprocessing()
    version = stored.named_version(settings, model)
    folder = exported.classifier_folder(settings, version.source, staging)
    return folder, exported.trained_preprocessing(settings, version.source, staging)


def _separate(images: Any) -> Iterable[Any]:
    """Images one by one."""
    if isinstance(images, str | Path | bytes | Image.Image):
        return (images,)
    if hasattr(images, "shape"):
        return images if images.ndim == 4 else (images,)
    if not isinstance(images, Sequence):
        raise errors.UserError("images: expected paths, bytes, PIL images or uint8 arrays, one or a sequence of them")
    return images


def _file_content(image: Any) -> bytes:
    """An image file's bytes. Pixels become a PNG, so that there is one way to read images.

    Raises:
        TypeError: it is no image.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if array.dtype != np.uint8:
            raise TypeError(f"expected uint8 pixels, got {array.dtype}")
        image = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    file = io.BytesIO()
    ImageOps.exif_transpose(image).save(file, "png")
    return file.getvalue()


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

    @classmethod
    def from_set(cls, images: imageset.ImageSet, run_names: Sequence[str]) -> Self:
        """A stored set, with the name of the run that holds each image."""
        labels = images.labels.numpy()
        columns = {
            "id": images.ids,
            "class": pd.Categorical.from_codes(labels, pd.Index(list(images.classes))),
            "group": images.groups,
            "provenance": images.provenance,
            "run": run_names,
        }
        pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()
        return cls(images=pixels, labels=labels, classes=images.classes, frame=pd.DataFrame(columns))


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
    settings = environment.open_home()
    if isinstance(reference, refs.Reference):
        image_set = parquet.read(artifacts.fetch(reference))
        return Images.from_set(image_set, [reference.run_id] * len(image_set))
    mlflow = stored.client(settings)
    top = stored.find_run(mlflow, reference)
    runs = (top, *stored.runs_below(mlflow, top))
    files = [(run, PurePosixPath(path)) for run in runs for path in stored.image_sets(mlflow, run)]
    matching_files = [(run, path) for run, path in files if path.stem == name]
    if not matching_files:
        set_names = ", ".join(sorted({path.stem for _, path in files})) or "none"
        raise errors.UserError(f"the run {reference} holds no images {name!r}; it has {set_names}")
    image_sets: list[imageset.ImageSet] = []
    run_names: list[str] = []
    for run, path in matching_files:
        with stored.artifact(settings, mlflow, run, str(path)) as file:
            image_sets.append(parquet.read(file))
        run_names += [run.info.run_name] * len(image_sets[-1])
    return Images.from_set(imageset.concatenate(image_sets), run_names)
