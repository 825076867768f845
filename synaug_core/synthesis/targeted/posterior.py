"""Samples of a classifier's posterior, which stay the same over an ascent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from synaug_core.classify.model import Classifier

__all__ = ["Posterior", "dropout_posterior", "ensemble_posterior"]


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
    keep = 1 - model.dropout.rate
    width = model.linear.in_features
    shape = (samples, 1, width)
    masks = torch.empty(shape, device=model.mean.device).bernoulli_(keep, generator=stream) / keep

    def probabilities(images: Tensor) -> Tensor:
        logits: Tensor = model.linear(model.features(images) * masks)
        return logits.double().softmax(-1)

    return probabilities


def ensemble_posterior(models: Sequence[Classifier]) -> Posterior:
    """K trained classifiers of different seeds (Lakshminarayanan et al., arXiv 1612.01474), in evaluation mode."""

    def probabilities(images: Tensor) -> Tensor:
        return torch.stack([model(images) for model in models]).double().softmax(-1)

    return probabilities
