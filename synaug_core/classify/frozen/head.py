"""A linear head on features: a convex problem, its solution, and what each image weighs in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core import errors
from synaug_core.classify import optimisation, prior, sampling
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet, Labelled

__all__ = [
    "DEFAULT_STRENGTH",
    "FIRST_STRENGTH",
    "STRENGTHS",
    "Head",
    "image_weights",
    "in_row_space",
    "solve",
    "solve_first",
    "weigh",
]

STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""The values of C among which the validation images choose: the larger, the closer the head follows the training
images. C multiplies the loss, whose weights add up to the number of real training images, against half the squared
weights, as in scikit-learn."""
DEFAULT_STRENGTH = 3e-3
"""C where there is no validation image."""
_ABSENT = 20.0
"""Nats by which the bias of a class without images lies below the mean of the others."""
_GRADIENT, _CHANGE, _ITERATIONS = 1e-5, 1e-9, 1000
"""Where the search for a solution ends: the largest entry of the gradient, the change in a step, the steps. A smaller
change is near the rounding of the loss, and the line search then tries many times for nothing."""


class _Products(torch.autograd.Function):
    """Features times weights in the precision of the features, for weights in float64."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return (features @ weight.T.to(features)).double()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (features,) = ctx.saved_tensors
        return None, (gradients[0].T.to(features) @ features).double()


@dataclass(frozen=True, eq=False)
class Head:
    """Weights and biases of a linear classifier.

    Attributes:
        weight: float64 (classes, d).
        bias: float64 (classes,).
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Float64 (n, d) to float64 (n, classes)."""
        return features @ self.weight.T + self.bias

    def projected(self, basis: Tensor | None) -> Head:
        """The head of the coordinates that `in_row_space` gave with the basis."""
        return self if basis is None else Head(self.weight @ basis, self.bias)

    def lifted(self, basis: Tensor | None) -> Head:
        """The head of the features, from that of their coordinates."""
        return self if basis is None else Head(self.weight @ basis.T, self.bias)


def in_row_space(features: Tensor) -> tuple[Tensor, Tensor | None]:
    """The same rows in as many coordinates as there are rows, where these are fewer than the features: a head with an
    L2 penalty has no part outside of what the rows span, so the problem of `solve` and its solution are the same.

    Args:
        features: float64 (n, d).

    Returns:
        The coordinates, float64 (n, min(n, d)), and an orthonormal basis, float64 (d, n), with
        `features = coordinates @ basis.T`; None where the features are their own coordinates.
    """
    if len(features) >= features.shape[1]:
        return features, None
    basis, triangle = torch.linalg.qr(features.T)
    return triangle.T.contiguous(), basis


def solve(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    classes: int,
    strength: float,
    start: Head | None = None,
    adjustment: Tensor | None = None,
    label_smoothing: float = 0.0,
    gradient: float = _GRADIENT,
) -> tuple[Head, float]:
    """Multinomial logistic regression with an L2 penalty on the weights, not on the biases.

    The minimum of `strength * sum_i weights_i * loss_i + |W|^2 / 2`, a convex problem with one solution, by L-BFGS with
    a strong Wolfe line search (Liu and Nocedal, "On the limited memory BFGS method for large scale
    optimization", 1989). It is the problem of scikit-learn's `LogisticRegression(C=strength)` with sample weights; of
    two classes that keeps one vector, the difference of these two, and needs twice the C for it.

    Args:
        features: float (n, d), n >= 1, on one scale. Their products with the weights are computed in their precision,
            all else in float64: in float32 the solution is there in a third of the time, equal to about five digits.
        labels: int64 (n,), or the share of each class in each label, float (n, classes).
        weights: float64 (n,), not negative, of each row in the loss.
        classes: number of classes; those without weight get no weights and a low bias.
        strength: C, above 0.
        start: from where to search; None: from 0. It changes how long it takes, and the solution in its last digits.
        adjustment: float (classes,), added to the logits in the loss (logit adjustment, arXiv 2007.07314).
        label_smoothing: share of each label that is spread over all classes with images.
        gradient: the search ends where the largest entry of the objective's gradient is below it.

    Returns:
        The head, and its weighted mean loss in nats without the penalty.

    Raises:
        DivergenceError: features, or the loss, that are not finite.
    """
    total = weights.sum()
    if labels.ndim == 2:
        present = weights @ labels.to(weights) > 0
        targets = labels[:, present].to(weights)
    else:
        present = torch.zeros(classes, dtype=torch.float64, device=weights.device).index_add_(0, labels, weights) > 0
        position = torch.cumsum(present, 0) - 1
        targets = position[labels].clamp_min(0)
    shift = None if adjustment is None else adjustment.to(weights)[present]
    parameters = weights.new_zeros(int(present.sum()), features.shape[1] + 1)
    if start is not None:
        parameters = torch.cat([start.weight, start.bias[:, None]], dim=1)[present]
    parameters = parameters.clone().requires_grad_()

    multiply: Callable[[Tensor, Tensor], Tensor] = _Products.apply

    def mean_loss() -> Tensor:
        logits = multiply(features, parameters[:, :-1]) + parameters[:, -1]
        losses = F.cross_entropy(
            logits if shift is None else logits + shift, targets, reduction="none", label_smoothing=label_smoothing
        )
        return (weights * losses).sum() / total

    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=_ITERATIONS,
        max_eval=2 * _ITERATIONS,
        tolerance_grad=gradient,
        tolerance_change=_CHANGE,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = mean_loss() + parameters[:, :-1].square().sum() / (2 * strength * total)
        torch.autograd.backward(objective)
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch gives it no types
    with torch.no_grad():
        loss = float(mean_loss())
        if not (parameters.isfinite().all() and loss < float("inf")):
            raise errors.DivergenceError("the head of the frozen features has no finite solution")
        weight = weights.new_zeros(classes, features.shape[1])
        bias = weights.new_full((classes,), float(parameters[:, -1].mean()) - _ABSENT)
        weight[present], bias[present] = parameters[:, :-1].detach(), parameters[:, -1].detach()
    return Head(weight, bias), loss


FIRST_STRENGTH = 1e-3
"""C of the head that a fine-tuning begins with."""
_LEAST_SPREAD = 0.1


def solve_first(
    features: Tensor,
    train: ImageSet,
    weights: Tensor,
    *,
    adjustment: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Head, float]:
    """The head that a fine-tuning begins with, of features as they are: what training all layers at once would do to
    good features while the head is still random is spared (Kumar et al., "Fine-Tuning can Distort Pretrained Features",
    arXiv 2202.10054).

    It is that of `solve` on the features standardised by the real images, at `FIRST_STRENGTH`, with the
    standardisation folded into its weights. A feature that hardly differs between the images, by less than a tenth of
    what the median feature does, is divided by that tenth: once trained, it may differ more.

    Args:
        features: float32 (n, d), n >= 1, of the training images as they are.
        train: the n images.
        weights: float64 (n,), of each in the loss.
        adjustment: as for `solve`.
        label_smoothing: likewise.

    Returns:
        The head, and its weighted mean loss in nats.

    Raises:
        DivergenceError: features that are not finite.
    """
    is_real = (~train.is_synthetic()).to(features.device)
    double = features.double()
    if not bool(double.isfinite().all()):
        raise errors.DivergenceError("the features of the pretrained backbone are not finite")
    real = double[is_real] if bool(is_real.any()) else double
    mean, deviation = real.mean(dim=0), real.std(dim=0, correction=0)
    deviation = deviation.clamp_min(max(_LEAST_SPREAD * float(deviation.median()), 1e-6))
    head, loss = solve(
        (double - mean) / deviation,
        _targets(train).to(features.device),
        weights.to(features.device),
        classes=len(train.classes),
        strength=FIRST_STRENGTH,
        adjustment=adjustment,
        label_smoothing=label_smoothing,
    )
    weight = head.weight / deviation
    return Head(weight, head.bias - weight @ mean), loss


def _targets(train: Labelled) -> Tensor:
    shares = train.label_shares()
    return train.labels if shares is None else shares


def image_weights(config: ClassifierConfig, arm: ArmConfig, train: Labelled) -> tuple[Tensor, Tensor]:
    """What each training image weighs in the loss, and the prior that the head learns from it.

    An image weighs what the loop would make of it in the end: its share of the draws (balanced or not, at least
    `arm.real_share` of each class real), times its weight and that of its class. They add up to the number of real
    images, so that C means the same in every arm.

    Args:
        config: class weights.
        arm: sampling, real share, weight of synthetic images.
        train: n >= 1 images, or points.

    Returns:
        float64 (n,), and float64 (classes,) with the sum 1.
    """
    classes = len(train.classes)
    one_step = config.model_copy(update={"steps": 1})  # shares of draws do not depend on how many are made
    shares = sampling.sampler_of(one_step, arm, train, 0, torch.device("cpu")).shares()
    by_image = optimisation.image_weights(arm, train, torch.device("cpu"))
    by_class = optimisation.class_weights(config, train.labels, classes, balanced_draws=arm.sampling != "natural")
    drawn_prior = prior.class_prior(
        train.labels,
        classes,
        shares=shares,
        image_weights=by_image,
        class_weights=by_class,
        label_shares=train.label_shares(),
    )
    return weigh(train, shares, by_image, by_class), drawn_prior


def weigh(train: Labelled, shares: Tensor, by_image: Tensor | None, by_class: Tensor | None) -> Tensor:
    """What each image weighs in the loss: its share of the draws times its weight and that of its class, or the mean of
    its classes by their shares.

    Args:
        train: n images.
        shares: float64 (n,).
        by_image: (n,), on the CPU; None: all alike.
        by_class: (classes,), likewise.

    Returns:
        float64 (n,) with the number of real images as sum.
    """
    weights, label_shares = shares.double(), train.label_shares()
    of_class = None
    if by_class is not None:
        of_class = by_class[train.labels] if label_shares is None else label_shares @ by_class
    for factor in (by_image, of_class):
        weights = weights if factor is None else weights * factor.double()
    real_count = int((~train.is_synthetic()).sum()) or len(train.labels)
    return weights * (real_count / weights.sum())
