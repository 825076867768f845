"""The two validation scores that steer a training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["balanced_accuracy", "cross_entropy"]


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean recall over the classes that have images.

    Args:
        logits: float (n, classes), or anything whose largest column is the prediction.
        labels: int64 (n,).

    Returns:
        A value in [0, 1]; NaN without images.
    """
    classes = logits.shape[1]
    hits = labels[logits.argmax(dim=1) == labels]
    right = torch.bincount(hits, minlength=classes).double()
    count = torch.bincount(labels, minlength=classes).double()
    return float((right / count)[count > 0].mean())


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean negative log likelihood in nats, float (n, classes) and int64 (n,); NaN without images."""
    return float(F.cross_entropy(logits.double(), labels))
