"""`synaug.load_model`: a trained classifier that says what images show."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from synaug import process
from synaug.cli import registered
from synaug_core import devices, errors, vocabulary
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data.decode import UnreadableError, load_square
from synaug_core.services.models import exported
from synaug_core.services.settings import Settings

__all__ = ["Model", "load_model", "open_classifier"]


def load_model(name: str | Path, device: str = "auto") -> Model:
    """A registered model, or a saved classifier's folder.

    Args:
        name: NAME (its champion), NAME@ALIAS, NAME@VERSION or a folder, as of the command `synaug predict`.
        device: auto, cpu or cuda.

    Raises:
        UserError: there is no such model.
        ArtifactError: its files are missing or damaged.
    """
    return Model(str(name), *open_classifier(process.open_home(), str(name), device))


@dataclass(frozen=True)
class Model:
    """A trained classifier.

    Attributes:
        name: what it was loaded by.
        classifier: the classifier itself.
        fit: how images that are not square are made so.
    """

    name: str
    classifier: TrainedClassifier
    fit: vocabulary.Fit

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
                content = _file_content(image)
                pixels.append(load_square(content, self.classifier.size, self.classifier.channels, fit=self.fit))
            except (OSError, UnreadableError, TypeError, ValueError) as error:
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


def open_classifier(current: Settings, model: str, device: str) -> tuple[TrainedClassifier, vocabulary.Fit]:
    """A classifier by its name or folder, and how its training images were made square. Raises as `load_model`."""
    with tempfile.TemporaryDirectory(prefix="synaug-") as staging:
        folder, fit = _locate(current, model, Path(staging))
        try:
            return TrainedClassifier.load(folder, devices.resolve(device)), fit
        except errors.ArtifactError as error:
            if not Path(model).is_dir():
                raise
            raise errors.UserError(f"MODEL: {error}") from error


def _locate(current: Settings, model: str, staging: Path) -> tuple[Path, vocabulary.Fit]:
    """The folder of a saved classifier (given, inside a given MLflow model, or a registered version's), and how its
    training images were made square."""
    given = Path(model)
    if given.is_dir():
        inner = given / "artifacts" / "classifier"
        if inner.is_dir():
            return inner, exported.described_fit(given / "MLmodel")
        # A folder that merely has a model's name hides no model.
        if TrainedClassifier.is_in(given) or given.name != model:
            return given, "crop"
    version = registered.named_version(current, model)
    folder = exported.classifier_folder(current, version.source, staging)
    return folder, exported.trained_fit(current, version.source, staging)


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
