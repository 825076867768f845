"""How unsure samples of a classifier's posterior are, in nats."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synaug_core.config.synthesis import Uncertainty

__all__ = ["entropy_of_mean", "measure", "mutual_information"]


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


def measure(kind: Uncertainty) -> Callable[[Tensor], Tensor]:
    """The function that a configuration names."""
    return mutual_information if kind == "mi" else entropy_of_mean


def _entropy(p: Tensor) -> Tensor:
    """Over the last dimension. The gradient of -p log p at 0 is infinite; held off it, 0 classes add nothing."""
    held = p.clamp_min(torch.finfo(p.dtype).tiny)
    return -(held * held.log()).sum(-1)
