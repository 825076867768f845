"""What every generator is: fitted on images of some classes, it makes new ones of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import DataError
from synaug_core.generators.fit_report import FitReport
from synaug_core.progress import Progress, silent

__all__ = ["Generator", "LatentGenerator"]


class Generator(ABC):
    """Models of a group of classes, fitted together. The constructor stores, `fit` checks.

    Args:
        config: what to fit and for how long.
        classes: names of the group's classes; their order changes no class's result.
        channels: 1 or 3.
        size: side length in pixels.
    """

    kind: ClassVar[str]
    """Name in the registry."""
    joint: ClassVar[bool] = False
    """One model for all classes, which have to be fitted together; False: each class has a model of its own."""

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        self.config = config
        self.classes = tuple(classes)
        self.channels = channels
        self.size = size
        self.reports: dict[str, FitReport] = {}

    @abstractmethod
    def fit(
        self,
        images: ImageSet,
        *,
        seed: int,
        device: torch.device,
        progress: Progress = silent,
        checkpoint: Checkpoint | None = None,
        deadline: float | None = None,
    ) -> Self:
        """Learn the group's classes; images of other classes are left alone.

        Args:
            images: training images; every class of the group needs at least one.
            seed: a class's result depends on this, its name and its images, not on the other classes.
            device: where to compute.
            progress: told the steps done and in all.
            checkpoint: where the state is kept; an earlier state of the same training is taken up.
            deadline: seconds from now after which the training gives up.

        Raises:
            DataError: a class has no images, or the images' shape is not the generator's.
            DeadlineError: the time was up.
        """

    @abstractmethod
    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """`n` new images of a class: uint8 (n, channels, size, size) on the CPU.

        The first m of n images are those that asking for m gives.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the models into `folder` (made where absent): safetensors and JSON, equal bytes for equal models."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the folder does not hold a generator of this kind.
        """

    def of_class(self, images: ImageSet, class_name: str) -> ImageSet:
        """The images of one class of the group, checked.

        Raises:
            DataError: the class is unknown or has no images, or the images' shape is not the generator's.
        """
        if (images.channels, images.images.shape[-2], images.size) != (self.channels, self.size, self.size):
            shape, own = tuple(images.images.shape[1:]), (self.channels, self.size, self.size)
            raise DataError(f"images are {shape} (channels, height, width), the generator is for {own}")
        found = images.of_class(class_name) if class_name in images.classes else None
        if found is None or not len(found):
            raise DataError(f"class {class_name!r} has no training images to learn from; drop it or add images")
        return found


class LatentGenerator(Generator):
    """A generator with a latent vector for every image."""

    @abstractmethod
    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance, float32 (n, latent) each, of uint8 images (n, channels, size, size)."""

    @abstractmethod
    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """Images float32 (n, channels, size, size) in [0, 1] of latent vectors (n, latent).

        An image depends on its own vector alone, not on how many are decoded with it.
        """

    @abstractmethod
    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """The same images but for rounding, with gradients to `z`, float32 (n, latent) on the generator's device."""
