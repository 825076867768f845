"""The validation scores that steer a training."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["balanced_accuracy", "balanced_cross_entropy", "cross_entropy", "macro_auc", "validation_scores"]


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
    correct_counts = torch.bincount(hits, minlength=classes).double()
    count = torch.bincount(labels, minlength=classes).double()
    return float((correct_counts / count)[count > 0].mean())


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean negative log likelihood in nats, float (n, classes) and int64 (n,); NaN without images."""
    return float(F.cross_entropy(logits.double(), labels))


def balanced_cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean over the classes that have images of their mean negative log likelihood in nats; NaN without images."""
    losses = F.cross_entropy(logits.double(), labels, reduction="none")
    means = [losses[labels == c].mean() for c in torch.unique(labels)]
    return float(torch.stack(means).mean()) if means else float("nan")


def macro_auc(logits: Tensor, labels: Tensor) -> float:
    """Mean one-against-rest area under the ROC curve, over the classes with images inside and outside.

    Args:
        logits: float (n, classes).
        labels: int64 (n,).

    Returns:
        A value in [0, 1]; NaN where no class has both.
    """
    chances = logits.double().softmax(dim=1)
    areas = []
    for c in range(logits.shape[1]):
        positive_scores, negative_scores = chances[labels == c, c], chances[labels != c, c]
        if len(positive_scores) and len(negative_scores):
            difference = positive_scores[:, None] - negative_scores[None, :]
            areas.append((difference > 0).double().mean() + 0.5 * (difference == 0).double().mean())
    return float(torch.stack(areas).mean()) if areas else float("nan")


def validation_scores(logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """All of them, under the names that they have in a training's history; None where one is undefined.

    Args:
        logits: float (n, classes).
        labels: int64 (n,), n >= 1.
    """
    values = {
        "val_loss": cross_entropy(logits, labels),
        "val_balanced_loss": balanced_cross_entropy(logits, labels),
        "val_balanced_accuracy": balanced_accuracy(logits, labels),
        "val_macro_auc": macro_auc(logits, labels),
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
