"""How the models of several classes are trained side by side: one interface, two ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from synaug_core.generators.draws import Draws
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights
from synaug_core.nets.vae import ConvVAE

__all__ = ["Executor"]


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
