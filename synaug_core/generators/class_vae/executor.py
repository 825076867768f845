"""How the models of several classes are trained side by side: one interface, two ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from synaug_core.generators.class_vae.draws import Draws
from synaug_core.nets.vae import ConvVAE

__all__ = ["Executor", "Pool", "Weights", "make_optimizer"]

Weights = dict[str, Tensor]


class Pool:
    """All images of a group on the device, uint8, from which batches are taken."""

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self._pixels = images.permute(0, 2, 3, 1).contiguous().to(device)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self._pixels.device

    def batch(self, rows: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float32 in [0, 1]: (*rows.shape, channels, size, size), channels last in memory."""
        images = self._pixels[rows].to(torch.float32).mul_(1 / 255).movedim(-1, -3)
        return images if mirrored is None else torch.where(mirrored[..., None, None, None], images.flip(-1), images)


class Executor(ABC):
    """Models by class name, their optimisers, and for each the last weights worth keeping.

    Args:
        pool: the images that the rows of `Draws` point into.
        models: freshly initialised models on the CPU, by class name.
        learning_rate: Adam's.
        clip: largest gradient norm of one class's model.
    """

    def __init__(self, pool: Pool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        self.pool = pool
        self.learning_rate = learning_rate
        self.clip = clip
        first = next(iter(models.values()))
        self.pixels = first.channels * first.size**2

    @abstractmethod
    def train(self, draws: Mapping[str, Draws], betas: Sequence[float]) -> Tensor:
        """As many steps as `betas` for each class; (classes, 3): mean loss, reconstruction and KL of the steps."""

    @abstractmethod
    def examine(self, draws: Mapping[str, Draws]) -> Tensor:
        """(classes, 2): summed squared error and KL, means over one batch each; nothing is learnt."""

    @abstractmethod
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""

    @abstractmethod
    def keep(self, classes: Collection[str]) -> None:
        """The present weights of these classes are worth keeping."""

    @abstractmethod
    def drop(self, name: str) -> Weights:
        """Train a class no more; the weights last kept, on the CPU."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that a training needs to go on, for `load_state`."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""


def make_optimizer(parameters: list[Tensor], learning_rate: float) -> torch.optim.Adam:
    """Adam, fused: one kernel for all parameters, on the CPU too."""
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
