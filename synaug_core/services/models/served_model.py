"""The served model: raw image bytes in, class names with probabilities out.

MLflow stores this file as it is and runs it to load a model ("models from code"), so nothing is pickled; the weights
are a safetensors file. The copy of `synaug_core` stored in the archive beside it does the work, whatever version is
installed.
"""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageClassifier"]

_COLUMN = "image"
_AT_ONCE = 256


class ImageClassifier(PythonModel):  # type: ignore[misc]  # mlflow has no types
    """Decodes images as the training images were decoded, and classifies them."""

    def load_context(self, context: Any) -> None:
        """Read the classifier from the model's own files, by the model's own code."""
        classifier = Path(context.artifacts["classifier"])
        sys.path.insert(0, str(classifier.parents[1] / "code" / "synaug_core.zip"))
        from synaug_core.classify.trained import TrainedClassifier
        from synaug_core.data.scaling import Preprocessing, Scale
        from synaug_core.devices import resolve

        choices = context.model_config or {}
        self._preprocessing = Preprocessing(fit=choices.get("fit", "crop"), scale=Scale(**choices.get("scale", {})))
        device = resolve(choices.get("device", "auto"))
        self._classifier = TrainedClassifier.load(classifier, device)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify each row's image.

        Args:
            context: not used.
            model_input: a table with the column `image`, or a list: each an image file's bytes.
            params: none are known.

        Returns:
            One row an image: `class`, its `probability`, and `probabilities`, a number for each class by name.

        Raises:
            MlflowException: a row is not the bytes of a readable image (an HTTP client's fault: status 400).
        """
        rows = [_bytes(value, number) for number, value in enumerate(_column(model_input))]
        chunks = [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
        probabilities = [self._classify(chunk, i * _AT_ONCE) for i, chunk in enumerate(chunks)]
        all_probabilities = (
            np.concatenate(probabilities) if probabilities else np.empty((0, len(self._classifier.classes)))
        )
        return _table(all_probabilities, self._classifier.classes)

    def _classify(self, rows: list[bytes], first: int) -> NDArray[np.float64]:
        import torch

        pixels = np.stack([self._pixels(data, first + i) for i, data in enumerate(rows)])
        return self._classifier.predict(torch.from_numpy(pixels)).astype(np.float64)

    def _pixels(self, data: bytes, number: int) -> NDArray[np.uint8]:
        from synaug_core.data.decode import UnreadableError, load_square

        try:
            return load_square(data, self._classifier.size, self._classifier.channels, self._preprocessing)
        except UnreadableError as error:
            raise _refused(number, str(error)) from error


def _column(model_input: Any) -> list[Any]:
    if isinstance(model_input, pd.DataFrame):
        if _COLUMN not in model_input.columns:
            raise MlflowException(f"the column {_COLUMN!r} is missing", INVALID_PARAMETER_VALUE)
        return list(model_input[_COLUMN])
    if isinstance(model_input, (bytes, bytearray, memoryview)):
        return [model_input]
    return list(model_input)


def _bytes(value: Any, number: int) -> bytes:
    if isinstance(value, str):  # MLflow lets text through a binary column
        raise _refused(number, "text, where the bytes of an image file belong; over HTTP send them base64-encoded")
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _refused(number, f"{type(value).__name__}, where the bytes of an image file belong")
    try:
        # of the JSON formats, `inputs` leaves base64 as it came; no image file looks like base64
        return base64.b64decode(b"".join(bytes(value).split()), validate=True)
    except binascii.Error:
        return bytes(value)


def _refused(number: int, reason: str) -> MlflowException:
    return MlflowException(f"image {number} (counted from 0): {reason}", INVALID_PARAMETER_VALUE)


def _table(probabilities: NDArray[np.float64], classes: tuple[str, ...]) -> pd.DataFrame:
    best = probabilities.argmax(axis=1) if len(probabilities) else np.empty(0, dtype=np.int64)
    return pd.DataFrame(
        {
            "class": [classes[i] for i in best],
            "probability": [float(row[i]) for row, i in zip(probabilities, best, strict=True)],
            "probabilities": [dict(zip(classes, map(float, row), strict=True)) for row in probabilities],
        }
    )


mlflow.models.set_model(ImageClassifier())
