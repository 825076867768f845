"""A trained classifier as one file that needs no synaug: ONNX or TorchScript, checked against the original."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synaug_core import errors, vocabulary
from synaug_core.classify.trained import TrainedClassifier

__all__ = ["FILE_NAMES", "convert"]

FILE_NAMES: dict[vocabulary.FileFormat, str] = {"onnx": "model.onnx", "torchscript": "model.pt"}
_TOLERANCE = 1e-4
"""Largest difference of a probability."""
_OPSET = 17
_SIZES = (2, 5)
"""Images of the batch that the file is made with, and of another that checks it."""


class _Probabilities(nn.Module):
    """uint8 images (n, c, h, w) to class probabilities (n, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.softmax(dim=1)


def convert(classifier: TrainedClassifier, file_format: vocabulary.FileFormat, folder: Path) -> Path:
    """Write the classifier into `folder` and check that the file predicts what the classifier does, to 1e-4.

    The file takes `images`, uint8 (n, channels, size, size) for any n, and gives `probabilities`, float32 (n, classes).

    Raises:
        UserError: the packages that ONNX needs are not installed.
        SynaugError: the network cannot be written so, or the file predicts something else.
    """
    model = _Probabilities(copy.deepcopy(classifier.model)).cpu().eval().requires_grad_(False)
    example, checked = (_draw_images(classifier, n) for n in _SIZES)
    file = folder / FILE_NAMES[file_format]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # both ways are called old, and are the ones that need no further compiler
        try:
            predict = (_write_onnx if file_format == "onnx" else _write_torchscript)(model, example, file)
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise errors.SynaugError(f"this network cannot be written as {file_format}: {line}") from error
    difference = float(np.abs(predict(checked) - classifier.predict(checked)).max())
    if not difference <= _TOLERANCE:
        file.unlink()
        raise errors.SynaugError(
            f"the {file_format} file predicts something else than the model: probabilities differ by {difference:.2g}"
        )
    return file


def _draw_images(classifier: TrainedClassifier, n: int) -> Tensor:
    stream = torch.Generator().manual_seed(n)
    shape = (n, classifier.channels, classifier.size, classifier.size)
    return torch.randint(0, 256, shape, generator=stream, dtype=torch.uint8)


def _write_torchscript(model: nn.Module, images: Tensor, file: Path) -> Callable[[Tensor], NDArray[Any]]:
    script = torch.jit.trace(model, images, check_trace=False)  # type: ignore[no-untyped-call]  # torch gives it no types
    script.save(str(file))
    return lambda checked: np.asarray(script(checked))  # the file itself is not read: TorchScript runs what it reads


def _write_onnx(model: nn.Module, images: Tensor, file: Path) -> Callable[[Tensor], NDArray[Any]]:
    try:
        import onnx  # noqa: F401 - torch writes the file with it
        import onnxruntime
    except ImportError as error:
        raise errors.UserError("--format onnx needs two packages more: pip install 'synaug[onnx]'") from error
    torch.onnx.export(
        model,
        (images,),
        str(file),
        dynamo=False,
        opset_version=_OPSET,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_axes={"images": {0: "n"}, "probabilities": {0: "n"}},
    )
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda checked: np.asarray(session.run(None, {"images": checked.numpy()})[0])
