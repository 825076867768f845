"""The evidence lower bound with a Gaussian likelihood, in nats per image.

Pixels and latent units are summed, images averaged. Averaging over pixels instead would multiply beta by
their number.
"""

import math

import torch
from torch import Tensor

__all__ = ["VARIANCE_BOUNDS", "beta_at", "bounded", "kl_per_unit", "negative_log_likelihood", "terms"]

VARIANCE_BOUNDS = (1e-4, 1.0)
"""A learned variance stays between a standard deviation of 1 % of the pixel range and all of it."""


def terms(images: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error summed over an image's pixels (n,), and KL(q(z|x) || N(0, I)) of each latent unit (n, latent)."""
    error = (images - decoded).square().flatten(1).sum(1)
    return error, kl_per_unit(mean, log_variance)


def kl_per_unit(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)), element by element (Kingma and Welling, 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def negative_log_likelihood(error: Tensor, variance: Tensor, pixels: int) -> Tensor:
    """-log N(x; decoded, variance I) from the summed squared error of `pixels` values."""
    return 0.5 * (error / variance + pixels * torch.log(2 * math.pi * variance))


def bounded(variance: float) -> float:
    """A variance within VARIANCE_BOUNDS."""
    low, high = VARIANCE_BOUNDS
    return min(max(variance, low), high)


def beta_at(step: int, beta: float, warmup_steps: int) -> float:
    """The KL term's weight at a step counted from 1: linear up to `beta` over the warm-up (Bowman et al., 2016)."""
    return beta * min(1.0, step / warmup_steps) if warmup_steps else beta
