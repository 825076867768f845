"""What the two networks minimise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["discriminator_hinge", "gradient_penalty"]


def discriminator_hinge(real: Tensor, made: Tensor) -> Tensor:
    """The discriminator's hinge loss of scores (n,) and (m,), a mean over images (Lim and Ye, 2017).

    The generator's is the negative mean of the scores of its images.
    """
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """R1 without its weight: mean over images of the squared gradient of a score to its image (Mescheder et al., 2018).

    Args:
        scores: (n,), computed from `images`, none from another's image.
        images: (n, ...), requiring gradients.

    Returns:
        A scalar that can itself be differentiated.
    """
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()
