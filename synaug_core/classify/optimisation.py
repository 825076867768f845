"""Loss and its weights, optimiser and learning rate of a classifier's training."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core.classify.mixing import Targets
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import Labelled

__all__ = ["class_weights", "cross_entropy", "image_weights", "learning_rate", "optimizer", "set_rates"]


def optimizer(
    model: nn.Module, config: ClassifierConfig, stages: Sequence[Sequence[str]] = ()
) -> torch.optim.Optimizer:
    """Adam or AdamW in fused kernels. Biases and normalisation (one-dimensional parameters) do not decay.

    Args:
        model: its parameters that require a gradient are trained.
        config: kind, decay, rates.
        stages: names of parameters, stage by stage from the first layers on. Each stage's rate is `layer_decay` times
            that of the next one, the last one's `layer_decay` times that of all parameters not named here (Bao et al.,
            "BEiT", arXiv 2106.08254).
    """
    stage_of = {name: number for number, names in enumerate(stages) for name in names}
    alike: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            alike.setdefault((stage_of.get(name, len(stages)), parameter.ndim <= 1), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": 0.0 if is_flat else config.weight_decay,
            _SHARE: config.layer_decay ** (len(stages) - stage),
        }
        for (stage, is_flat), parameters in sorted(alike.items())
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, fused=True)


_SHARE = "share"
"""Key of a group's share of the learning rate."""


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of each group, its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_SHARE]


def learning_rate(config: ClassifierConfig, step: int) -> float:
    """The rate of optimiser step 0, 1, ... `config.steps` - 1.

    It rises in equal steps over the share `config.warmup` of them, beneath the schedule's. `cosine` falls to 0
    (Loshchilov and Hutter, arXiv 1608.03983, without restarts); `step` is MedMNIST's: a tenth from one half and a
    hundredth from three quarters of the steps on.
    """
    done = step / config.step_count
    peak = config.learning_rate * min(1.0, (step + 1) / max(1, round(config.warmup * config.step_count)))
    if config.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "step":
        return peak * (0.1 ** ((done >= 0.5) + (done >= 0.75)))
    return peak


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
    if len(parts) == 1 and targets.weights is None and targets.shares is None:
        return F.cross_entropy(logits, targets.labels, weight=class_weights, label_smoothing=label_smoothing)
    loss_sum = weight_sum = torch.zeros((), device=logits.device)
    for part in parts:
        own_classes = part.labels if part.shares is None else part.shares.to(logits)
        losses = F.cross_entropy(
            logits, own_classes, weight=class_weights, label_smoothing=label_smoothing, reduction="none"
        )
        weights = torch.ones_like(losses) if part.weights is None else part.weights
        loss_sum = loss_sum + (weights * losses).sum()
        if class_weights is not None:
            of_class = class_weights[part.labels] if part.shares is None else part.shares @ class_weights
            weights = weights * of_class
        weight_sum = weight_sum + weights.sum()
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


def image_weights(arm: ArmConfig, train: Labelled, device: torch.device) -> Tensor | None:
    """Loss weights by image, float32 (n,): `synthetic_weight` for those that were made, 1 for the others; None where
    all are 1."""
    if arm.synthetic_weight == 1.0:
        return None
    return torch.where(train.is_synthetic(), arm.synthetic_weight, 1.0).to(device)
