"""A model's weights in training."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Weights", "make_optimizer"]

Weights = dict[str, Tensor]
"""By name, as in a state dict."""


def make_optimizer(parameters: list[Tensor], learning_rate: float) -> torch.optim.Adam:
    """Adam, fused: one kernel for all parameters, on the CPU too."""
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
