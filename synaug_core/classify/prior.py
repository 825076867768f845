"""Prior correction: a classifier's logits without what it learnt of how often each class was drawn.

A network that is trained by cross-entropy learns `log p(image | class) + log prior(class)`, with the prior of the
training's draws, so that rare classes are seldom predicted. `logits - tau * log prior` undoes it afterwards; at tau = 1
it is the prediction of least balanced error (Menon et al., "Long-tail learning via logit adjustment", arXiv 2007.07314,
section 4). Nothing is trained for it, and where all classes are drawn alike nothing changes.
"""

from typing import Literal

import torch
from torch import Tensor

from synaug_core.classify import scores

__all__ = ["STRENGTHS", "choose_strength", "class_prior", "equal_shares", "initial_strength", "log_ratios"]

_ROUNDING = 1e-6  # class weights are float32
STRENGTHS = tuple(step / 10 for step in range(21))
"""The values of tau among which `auto` chooses."""


def class_prior(
    labels: Tensor,
    classes: int,
    *,
    shares: Tensor,
    image_weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    label_shares: Tensor | None = None,
) -> Tensor:
    """The share of each class in what a training draws and weighs.

    Args:
        labels: int64 (n,) of the training images, n >= 1.
        classes: number of classes.
        shares: float64 (n,), the expected share of each image among the images drawn.
        image_weights: float (n,), of images in the loss; None: all alike.
        class_weights: float (classes,), of classes in the loss; None: all alike.
        label_shares: float (n, classes), in place of the labels where images belong to several classes.

    Returns:
        float64 (classes,) on the CPU, the sum is 1; 0 for classes that are never drawn.
    """
    weighed = shares.double().cpu()
    if image_weights is not None:
        weighed = weighed * image_weights.cpu()
    if label_shares is None:
        prior = torch.zeros(classes, dtype=torch.float64).index_add_(0, labels.cpu(), weighed)
    else:
        prior = weighed @ label_shares.double().cpu()
    if class_weights is not None:
        prior = prior * class_weights.cpu()
    return prior / prior.sum()


def log_ratios(prior: Tensor) -> Tensor:
    """`log prior` relative to equal shares: 0 for all classes where these are drawn alike.

    A common constant changes no prediction. Classes that were never drawn have nothing to correct and get 0.

    Args:
        prior: float64 (classes,), the sum is 1.

    Returns:
        float64 (classes,).
    """
    present = prior > 0
    ratios = torch.where(present, prior * present.sum(), 1.0).log()
    return torch.where(ratios.abs() < _ROUNDING, 0.0, ratios)


def equal_shares(prior: Tensor) -> Tensor:
    """The same share of all classes that a prior, float64 (classes,), has."""
    present = (prior > 0).double()
    return present / present.sum()


def initial_strength(prior_correction: float | Literal["auto"]) -> float:
    """The tau before any validation image was seen: as configured, 1 where it is to be chosen."""
    return 1.0 if prior_correction == "auto" else prior_correction


def choose_strength(logits: Tensor, labels: Tensor, ratios: Tensor) -> float:
    """The tau of the least class-balanced cross-entropy on validation images, of equals the one nearest to 1.

    Args:
        logits: float (n, classes), not corrected.
        labels: int64 (n,), n >= 1.
        ratios: float (classes,), `log_ratios` of the prior.

    Returns:
        One of `STRENGTHS`.
    """
    losses = {
        strength: scores.balanced_cross_entropy(logits.double() - strength * ratios, labels)
        for strength in sorted(STRENGTHS, key=lambda value: abs(value - 1))
    }
    return min(losses, key=losses.__getitem__)
