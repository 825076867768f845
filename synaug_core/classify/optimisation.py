"""Loss and its weights, optimiser and learning rate of a classifier's training."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core.classify.mixing import Targets
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet

__all__ = ["class_weights", "cross_entropy", "image_weights", "learning_rate", "optimizer"]


def optimizer(model: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    """Adam or AdamW in one fused kernel. Biases and normalisation (one-dimensional parameters) do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind([g for g in groups if g["params"]], lr=config.learning_rate, fused=True)


def learning_rate(config: ClassifierConfig, step: int) -> float:
    """The rate of optimiser step 0, 1, ... `config.steps` - 1.

    `cosine` falls to 0 (Loshchilov and Hutter, arXiv 1608.03983, without restarts); `step` is MedMNIST's: a tenth
    from one half and a hundredth from three quarters of the steps on.
    """
    done = step / config.step_count
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "step":
        return config.learning_rate * (0.1 ** ((done >= 0.5) + (done >= 0.75)))
    return config.learning_rate


def cross_entropy(
    logits: Tensor, targets: Targets, *, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy in nats, averaged over the images with their weights and those of their classes.

    An image of two classes counts for each with its share of it, as if it were two images.

    Args:
        logits: float (n, classes).
        targets: of the images.
        class_weights: float (classes,); None: all alike.
        label_smoothing: share of each label that is spread over all classes.
    """
    parts = targets.parts()
    if len(parts) == 1 and targets.weights is None:
        return F.cross_entropy(logits, targets.labels, weight=class_weights, label_smoothing=label_smoothing)
    loss_sum = weight_sum = torch.zeros((), device=logits.device)
    for part in parts:
        losses = F.cross_entropy(
            logits, part.labels, weight=class_weights, label_smoothing=label_smoothing, reduction="none"
        )
        weights = torch.ones_like(losses) if part.weights is None else part.weights
        loss_sum = loss_sum + (weights * losses).sum()
        weight_sum = weight_sum + (weights if class_weights is None else weights * class_weights[part.labels]).sum()
    return loss_sum / weight_sum


def class_weights(config: ClassifierConfig, labels: Tensor, classes: int, *, balanced_draws: bool) -> Tensor | None:
    """Loss weights by class, float32 (classes,): the inverse of a class's share among the images drawn.

    None where every class weighs the same: without class weights, or where classes are drawn equally often anyway.
    """
    if config.class_weights == "none" or balanced_draws:
        return None
    count = torch.bincount(labels, minlength=classes).float()
    present = count > 0
    return torch.where(present, len(labels) / (present.sum() * count.clamp(min=1)), torch.zeros_like(count))


def image_weights(arm: ArmConfig, train: ImageSet, device: torch.device) -> Tensor | None:
    """Loss weights by image, float32 (n,): `synthetic_weight` for those that were made, 1 for the others; None where
    all are 1."""
    if arm.synthetic_weight == 1.0:
        return None
    return torch.where(train.is_synthetic(), arm.synthetic_weight, 1.0).to(device)
