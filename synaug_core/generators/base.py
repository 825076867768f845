"""What every generator is: fitted on images of some classes, it makes new ones of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from synaug_core import checkpoints, digests, errors, frozen
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.fit_report import FitReport
from synaug_core.progress import Progress, silent

__all__ = ["SMALLEST", "FitJob", "Generator", "LatentGenerator"]

SMALLEST = 8
"""Side in pixels below which the networks' halvings leave nothing to learn from."""

_SHOWN = 60
"""Most characters of a key that an error message quotes."""

_Model = TypeVar("_Model")


@dataclass(frozen=True)
class FitJob:
    """How a fit is to be done; what is fitted is the generator's configuration.

    Attributes:
        seed: a class's result depends on this, its name and its images, not on the other classes.
        device: where to compute.
        progress: called with the steps done and in all.
        checkpoint: keeps the state; an earlier state of the same training is taken up.
        deadline: seconds from the start of the fit after which the training gives up; None: never.
    """

    seed: int
    device: torch.device
    progress: Progress = silent
    checkpoint: checkpoints.Checkpoint = field(default_factory=lambda: checkpoints.Checkpoint(None))
    deadline: float | None = None


class _StoredSpec(frozen.Frozen):
    """The spec of a stored generator."""

    config: GeneratorConfig
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    channels: Literal[1, 3]
    size: Annotated[int, Field(ge=1, le=4096)]
    reports: dict[str, FitReport]


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
        self._device = torch.device("cpu")

    @property
    def learnt_size(self) -> int:
        """Side length in pixels of the images that the models learn and make; see `enlarges`."""
        return self.size

    @property
    def enlarges(self) -> bool:
        """Whether the models' images are smaller than `size`, to which they are enlarged."""
        return self.learnt_size < self.size

    @abstractmethod
    def fit(self, images: ImageSet, job: FitJob) -> Self:
        """Learn the group's classes; images of other classes are left alone.

        Args:
            images: training images; every class of the group needs at least one.
            job: the seed, the device, and what the caller wants of the fit while it goes on.

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
            shape, model_shape = tuple(images.images.shape[1:]), (self.channels, self.size, self.size)
            raise errors.DataError(f"images are {shape} (channels, height, width), the generator is for {model_shape}")
        class_images = images.of_class(class_name) if class_name in images.classes else None
        if class_images is None or not len(class_images):
            raise errors.DataError(f"class {class_name!r} has no training images to learn from; drop it or add images")
        return class_images

    def _class_images(self, images: ImageSet) -> dict[str, Tensor]:
        """The images of each class of the group, uint8 (n, channels, size, size), by name in sorted order.

        Raises:
            DataError: see `of_class`.
        """
        return {name: self.of_class(images, name).images for name in sorted(self.classes)}

    def _check_size(self, largest: int | None = None) -> None:
        """Nothing where the images are of SMALLEST px or more, and of `largest` or less.

        Raises:
            ConfigError: they are not.
        """
        if self.size < SMALLEST or (largest is not None and self.size > largest):
            limits = f"needs images of {SMALLEST} px or more"
            if largest is not None:
                limits = f"is for images of {SMALLEST} to {largest} px"
            raise errors.ConfigError(f"generator.kind: {self.kind} {limits}, these have {self.size}")

    def _fitted_model(self, model: _Model | None, class_name: str) -> _Model:
        """The model of a class, which is `model` where there is one.

        Raises:
            ConfigError: nothing was fitted yet, or not with this class.
        """
        if model is None or class_name not in self.classes:
            fitted_names = ", ".join(sorted(self.reports)) or "none yet"
            raise errors.ConfigError(f"no model was fitted for class {class_name!r}; there are {fitted_names}")
        return model

    def _spec(self) -> dict[str, Any]:
        """All of this generator but its models, ready for JSON; `_from_spec` reads it.

        The time a fit took is left out, so that equal trainings are equal bytes.

        Raises:
            ConfigError: nothing was fitted yet.
        """
        if not self.reports:
            raise errors.ConfigError("the generator is not fitted; there is nothing to save")
        return {
            "config": self.config.model_dump(mode="json"),
            "classes": list(self.classes),
            "channels": self.channels,
            "size": self.size,
            "reports": {name: r.model_dump(mode="json", exclude={"seconds"}) for name, r in self.reports.items()},
        }

    @classmethod
    def _from_spec(cls, spec: Mapping[str, Any], device: torch.device | str) -> Self:
        """The generator that `_spec` describes, without its models, for `device`.

        Raises:
            ArtifactError: something in the spec is missing or wrong.
        """
        try:
            stored_spec = _StoredSpec.model_validate({key: spec.get(key) for key in _StoredSpec.model_fields})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))[:_SHOWN]
            raise errors.ArtifactError(f"the stored generator's spec cannot be read ({key}: {first['msg']})") from error
        generator = cls(stored_spec.config, stored_spec.classes, stored_spec.channels, stored_spec.size)
        generator._device = torch.device(device)
        generator.reports = dict(stored_spec.reports)
        return generator


@dataclass(frozen=True, eq=False)
class _Posteriors:
    """Of a class's training images: the row of each by its pixels' digest, and means and log variances beside each
    other, float32 (n, 2 latent)."""

    rows: Mapping[bytes, int]
    values: Tensor

    @classmethod
    def of_stored(cls, stored_digests: Tensor, values: Tensor) -> Self:
        """Of the digests, uint8 (n, 32), and the values in the same order."""
        return cls({bytes(row): i for i, row in enumerate(stored_digests.tolist())}, values)

    @property
    def digests(self) -> Tensor:
        """As `of_stored` takes them."""
        return torch.tensor([list(digest) for digest in self.rows], dtype=torch.uint8).view(-1, 32)


class LatentGenerator(Generator):
    """A generator with a latent vector for every image."""

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._posteriors: dict[str, _Posteriors] = {}

    def posteriors(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """As `encode`, whose result it is; of images that a fit has learnt from, it was kept."""
        stored = self._posteriors.get(class_name)
        rows = [stored.rows.get(_pixel_digest(image)) for image in images.cpu()] if stored is not None else [None]
        if stored is None or None in rows:
            return self.encode(images, class_name)
        mean, log_variance = stored.values[torch.tensor(rows, dtype=torch.int64)].to(self._device).chunk(2, dim=1)
        return mean, log_variance

    def _keep_posteriors(self, class_images: Mapping[str, Tensor]) -> None:
        """Encode the training images of each class once and for all."""
        self._posteriors = {}
        for name, images in class_images.items():
            rows = {_pixel_digest(image): i for i, image in enumerate(images)}  # of equal images one is kept
            distinct = images[list(rows.values())]
            values = torch.cat(self.encode(distinct, name), dim=1).cpu()
            self._posteriors[name] = _Posteriors(dict(zip(rows, range(len(rows)), strict=True)), values)

    def _stored_posteriors(self) -> dict[str, Tensor]:
        """As tensors by name, for `_restore_posteriors`."""
        tensors: dict[str, Tensor] = {}
        for i, (_, stored) in enumerate(sorted(self._posteriors.items())):
            tensors |= {f"posteriors.{i}.digests": stored.digests, f"posteriors.{i}.values": stored.values}
        return tensors

    def _restore_posteriors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `_stored_posteriors` gave; generators of earlier versions have stored none."""
        for i, name in enumerate(sorted(self.classes)):
            keys, values = (tensors.get(f"posteriors.{i}.{part}") for part in ("digests", "values"))
            if keys is not None and values is not None and len(keys) == len(values):
                self._posteriors[name] = _Posteriors.of_stored(keys.cpu(), values.cpu())

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


def _pixel_digest(image: Tensor) -> bytes:
    return bytes.fromhex(digests.of_bytes(image.contiguous().numpy().tobytes()))
