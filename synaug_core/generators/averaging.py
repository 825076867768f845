"""The average of a network's weights over its training (Yazici et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["decay_at", "follow"]


def decay_at(step: int, decay: float, *, delay: int = 10) -> float:
    """The average's decay at a step counted from 1: min(decay, step / (delay + step)).

    It rises, so that the first weights, which know nothing, are soon forgotten, however short the training.
    """
    return min(decay, step / (delay + step))


@torch.no_grad()
def follow(averages: Sequence[Tensor], weights: Sequence[Tensor], decay: float) -> None:
    """Averages = decay * averages + (1 - decay) * weights, in place."""
    torch._foreach_lerp_(list(averages), list(weights), 1 - decay)
