"""Synthetic images made inside the training loop: what the loop asks for."""

import math
from typing import Protocol

import torch
from torch import Tensor

from synaug_core.classify.model import Classifier
from synaug_core.config import OnlineConfig

__all__ = ["Online", "is_due"]


class Online(Protocol):
    """Makes synthetic images from the images of a batch.

    Attributes:
        config: from which step on, how often, and the weight of their loss.
        identity: a text that is equal for equal makers: what a checkpoint must agree with.
    """

    @property
    def config(self) -> OnlineConfig:
        """See the class."""
        ...

    @property
    def identity(self) -> str:
        """See the class."""
        ...

    def make(self, model: Classifier, positions: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images and labels to train on beside the batch.

        The model's weights, its normalisation statistics, its gradients and its mode are afterwards as before.

        Args:
            model: the classifier in training.
            positions: of the batch in the training images, int64 (batch,), on the device.
            stream: for all that is random, on the device.

        Returns:
            Float32 images (m, c, h, w) in [0, 1] and their labels, int64 (m,), on the device.
        """
        ...


def is_due(config: OnlineConfig, step: int, steps: int) -> bool:
    """Whether optimiser step `step` = 0, 1, ... `steps` - 1 has synthetic images: from the share `start` of the steps
    on, every `every` steps."""
    first = math.ceil(config.start * steps)
    return step >= first and (step - first) % config.every == 0
