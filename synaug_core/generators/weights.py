"""A model's weights: in training, kept, and in a model that is trained no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from synaug_core.errors import ArtifactError

__all__ = ["MISFIT", "Weights", "copied", "make_optimizer", "under", "with_weights"]

Weights = dict[str, Tensor]
"""By name, as in a state dict."""

MISFIT = "the weights do not fit the spec of this generator"

_Module = TypeVar("_Module", bound=nn.Module)


def make_optimizer(
    parameters: list[Tensor], learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Adam, fused: one kernel for all parameters, on the CPU too."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=True)


def copied(weights: Mapping[str, Tensor]) -> Weights:
    """The weights as they are now, whatever becomes of the model."""
    return {name: value.detach().clone() for name, value in weights.items()}


def under(prefix: str, weights: Mapping[str, Tensor]) -> Weights:
    """Those whose names begin with `prefix`, named without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def with_weights(make: Callable[[], _Module], weights: Weights, device: torch.device) -> _Module:
    """The module that `make` makes, with these weights, on `device`, for use and not for training.

    Raises:
        ArtifactError: names or shapes are not the module's, or there can be no such module.
    """
    try:
        with torch.device("meta"):  # nothing to initialise: the weights are at hand
            module = make()
        module.load_state_dict(weights, assign=True)
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:  # sizes that no module can have
        raise ArtifactError(MISFIT) from error
    return module.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
