"""Images as rows of numbers, for the test of drift."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.quality.features import features

__all__ = ["described"]

_SIDE = 8


def described(
    images: Tensor, classifier: TrainedClassifier, kind: Literal["classifier", "thumbnails"]
) -> tuple[Tensor, Tensor]:
    """Each image's features and its predicted class.

    Args:
        images: uint8 (n, channels, size, size).
        classifier: computes where its model is.
        kind: the classifier's features before its head, or the mean colours of 8 x 8 fields.

    Returns:
        float32 (n, d) and int64 (n,), on the CPU.
    """
    own = features(images, classifier)
    with torch.no_grad():
        classes = classifier.model.head(own.to(classifier.model.mean.device)).argmax(dim=1).cpu()
    return (own if kind == "classifier" else _thumbnails(images)), classes


def _thumbnails(images: Tensor) -> Tensor:
    small = [
        torch.nn.functional.adaptive_avg_pool2d(part.float() / 255, _SIDE)
        for part in torch.split(images, 256)
        if len(part)
    ]
    return torch.cat(small).flatten(1) if small else torch.empty(0, images.shape[1] * _SIDE**2)
