"""The spatial autoencoder as a generator."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ArtifactError
from synaug_core.generators import posterior, randoms, storage
from synaug_core.generators.autoencoder.training import Task, train
from synaug_core.generators.base import LatentGenerator
from synaug_core.generators.draws import divide
from synaug_core.generators.exact import exact
from synaug_core.generators.fingerprint import fingerprint
from synaug_core.generators.pixels import in_chunks, to_uint8
from synaug_core.generators.pool import Pool
from synaug_core.generators.training_loop import Clock
from synaug_core.generators.weights import MISFIT, Weights, under, with_weights
from synaug_core.nets.autoencoder import SpatialAutoencoderNet
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive, seeded_init

__all__ = ["SpatialAutoencoder"]


class SpatialAutoencoder(LatentGenerator):
    """One autoencoder for all classes; a latent vector is its latent map, flattened.

    It learns to keep an image, not to make one up: `sample` decodes draws from a Gaussian fitted to each class's
    latents with a diagonal covariance. Neighbouring pixels of the map are then drawn as if they had nothing to do
    with each other, so those images have a class's colours and layout but blotchy shapes; they serve as a control.
    """

    kind: ClassVar[str] = "autoencoder"
    joint: ClassVar[bool] = True

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._model: SpatialAutoencoderNet | None = None
        self._gaussians: dict[str, Tensor] = {}
        """By class, (2, latent): mean and standard deviation of its latents."""

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
        """See `Generator.fit`; images of 8 px or more."""
        clock = Clock()
        self._check_size()
        parts = self._parts(images)
        divided = _divided(parts, self.config.validation_share, seed)
        rows, held_out = (torch.cat([pair[i] for pair in divided.values()]) for i in (0, 1))
        pixels = torch.cat(list(parts.values()))
        with seeded_init(derive(seed, "init")):
            model = self._network()
        model.start_at(pixels[rows].float().mean((0, 2, 3)) / 255)
        of_all = fingerprint(parts, self.config, seed, device)
        task = Task(Pool(pixels, device), rows, held_out, derive(seed, "training"), of_all)
        with exact(device):
            course = train(
                model.to(device).to(memory_format=torch.channels_last),
                task,
                self.config,
                progress=progress,
                checkpoint=checkpoint or Checkpoint(None),
                deadline=deadline,
            )
        self._device = device
        self._take(course.weights)
        self._gaussians, self.reports = {}, {}
        kept = [point.variance for point in course.curves if point.step == course.best_step]
        for name, own in parts.items():
            found = self.encode(own, name)
            self._gaussians[name] = _gaussian(*found).cpu()
            self.reports[name] = posterior.report(
                name,
                course,
                found,
                images=len(divided[name][0]),
                held_out=len(divided[name][1]),
                variance=kept[0] if kept else 0.0,
                seconds=clock.seconds,
            )
        return self

    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of uint8 images, on the generator's device."""
        return posterior.posteriors(self.model(class_name).encode, images, self._device)

    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, on the generator's device; the class makes no difference."""
        model = self.model(class_name)
        with torch.no_grad(), exact(self._device):
            return in_chunks(z.to(self._device, torch.float32), model.decode)

    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, differentiable; the class makes no difference."""
        return self.model(class_name).decode(z)

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Decoded draws from the class's Gaussian (diagonal covariance; see the class)."""
        self.model(class_name)
        mean, spread = self._gaussians[class_name]
        z = randoms.normal(n, len(mean), derive(seed, "sample", class_name))
        return to_uint8(self.decode(mean + spread * z, class_name))

    def save(self, folder: Path) -> None:
        """Write the model and the classes' Gaussians: equal trainings are equal bytes."""
        names = sorted(self.reports)
        spec = self._spec()
        weights = {f"model.{key}": value for key, value in self.model(names[0]).state_dict().items()}
        gaussians = {f"gaussian.{i}": self._gaussians[name] for i, name in enumerate(names)}
        storage.write(folder, self.kind, spec, weights | gaussians)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        loaded = cls._of_spec(spec, device)
        loaded._take(under("model.", weights))
        try:
            loaded._gaussians = {n: weights[f"gaussian.{i}"].cpu() for i, n in enumerate(sorted(loaded.classes))}
        except KeyError as error:
            raise ArtifactError(f"{folder}: {MISFIT}") from error
        return loaded

    def model(self, class_name: str) -> SpatialAutoencoderNet:
        """The one model, in evaluation mode.

        Raises:
            ConfigError: nothing was fitted yet, or not with this class.
        """
        return self._fitted(self._model, class_name)

    def _network(self) -> SpatialAutoencoderNet:
        choices = self.config.autoencoder
        halvings = int(log2(choices.downsampling))
        return SpatialAutoencoderNet(self.channels, self.size, self.config.width, choices.channels, halvings)

    def _take(self, weights: Weights) -> None:
        self._model = with_weights(self._network, weights, self._device)


def _divided(parts: Mapping[str, Tensor], share: float, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows to train on and rows held out of each class; they count through the classes one after the other."""
    found, first = {}, 0
    for name, images in parts.items():
        rows, held_out = divide(len(images), share, derive(seed, "class", name))
        found[name] = rows + first, held_out + first
        first += len(images)
    return found


def _gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean and standard deviation of each latent unit over a class's posteriors, (2, latent): the spread of the
    means plus the posteriors' own, so that a class of one image has one too."""
    variance = mean.var(0, correction=0) + log_variance.exp().mean(0)
    return torch.stack((mean.mean(0), variance.sqrt()))
