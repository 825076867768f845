"""Samples of a classifier's posterior, which stay the same over an ascent, and how unsure they are, in nats."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from synaug_core.classify.model import Classifier
from synaug_core.config.synthesis import Uncertainty

__all__ = [
    "Posterior",
    "dropout_posterior",
    "ensemble_posterior",
    "entropy_of_mean",
    "mutual_information",
    "uncertainty_function",
]


class Posterior(Protocol):
    """Float images (n, c, h, w) in [0, 1] to float64 probabilities (K, n, C), differentiable.

    An image's probabilities depend on that image alone.
    """

    def __call__(self, images: Tensor) -> Tensor:
        """See the class."""
        ...


def dropout_posterior(model: Classifier, samples: int, stream: torch.Generator) -> Posterior:
    """K networks that differ in which features before the head are dropped (Gal and Ghahramani, arXiv 1506.02142).

    The masks are drawn here, once: every image and every call sees the same K networks. Only the head differs
    between them, so they cost one pass of the backbone. The model has to be in evaluation mode whenever the
    posterior is called, so that normalisation layers use their stored statistics and do not change them.

    Args:
        model: its dropout rate is that of its training; at rate 0 all samples are equal.
        samples: K.
        stream: on the model's device.
    """
    share = 1 - model.dropout.rate
    width = model.width
    shape = (samples, 1, width)
    masks = torch.empty(shape, device=model.mean.device).bernoulli_(share, generator=stream) / share

    def probabilities(images: Tensor) -> Tensor:
        return model.logits(model.features(images) * masks).double().softmax(-1)

    return probabilities


def ensemble_posterior(models: Sequence[Classifier]) -> Posterior:
    """K trained classifiers of different seeds (Lakshminarayanan et al., arXiv 1612.01474), in evaluation mode."""

    def probabilities(images: Tensor) -> Tensor:
        return torch.stack([model(images) for model in models]).double().softmax(-1)

    return probabilities


def entropy_of_mean(probabilities: Tensor) -> Tensor:
    """H(mean_k p_k): all uncertainty, that of overlapping classes included.

    Args:
        probabilities: float (K, n, C), rows summing to 1 over C.

    Returns:
        (n,), in [0, log C].
    """
    return _entropy(probabilities.mean(0))


def mutual_information(probabilities: Tensor) -> Tensor:
    """H(mean_k p_k) - mean_k H(p_k): how much the samples disagree (BALD; Houlsby et al., arXiv 1112.5745; Gal et
    al., arXiv 1703.02910).

    This plug-in value is low by about a factor of 1 - 1/K. Use float64: for images that the classifier is sure of,
    it is a small difference of two entropies.

    Args:
        probabilities: float (K, n, C), rows summing to 1 over C.

    Returns:
        (n,), in [0, min(log C, log K)] but for rounding; 0 where all samples agree, so for K = 1.
    """
    return entropy_of_mean(probabilities) - _entropy(probabilities).mean(0)


def uncertainty_function(kind: Uncertainty) -> Callable[[Tensor], Tensor]:
    """Return the uncertainty function that a configuration names."""
    return mutual_information if kind == "mi" else entropy_of_mean


def _entropy(p: Tensor) -> Tensor:
    """Over the last dimension. The gradient of -p log p at 0 is infinite; held off it, 0 classes add nothing."""
    clamped = p.clamp_min(torch.finfo(p.dtype).tiny)
    return -(clamped * clamped.log()).sum(-1)
