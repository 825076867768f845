"""Class-specific VAEs as a generator (De La Fuente et al., arXiv 2409.10286: one VAE per class, beta = 1)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import posterior, randoms, storage
from synaug_core.generators.base import LatentGenerator
from synaug_core.generators.class_vae.preparation import make_executor, make_tasks, start
from synaug_core.generators.class_vae.training import ClassTask, train
from synaug_core.generators.course import Course
from synaug_core.generators.exact import exact
from synaug_core.generators.fingerprint import fingerprint
from synaug_core.generators.fit_report import FitReport
from synaug_core.generators.pixels import in_chunks, to_uint8
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights, under, with_weights
from synaug_core.nets.vae import ConvVAE, Decoder
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive

__all__ = ["ClassVAE"]


class ClassVAE(LatentGenerator):
    """One convolutional VAE for each class."""

    kind: ClassVar[str] = "vae"

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._models: dict[str, ConvVAE] = {}
        self._decoders: dict[str, Decoder] = {}

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
        self._check_size()
        parts = self._parts(images)
        tasks = make_tasks(parts, self.config, seed)
        models = {task.name: start(task, self.config) for task in tasks}
        with exact(device):
            courses = train(
                make_executor(Pool(torch.cat(list(parts.values())), device), models, self.config),
                tasks,
                self.config,
                fingerprint=fingerprint(parts, self.config, seed, device),
                progress=progress,
                checkpoint=checkpoint or Checkpoint(None),
                deadline=deadline,
            )
        self._device, self._models, self._decoders = device, {}, {}
        for name, course in courses.items():
            self._take(name, course.weights)
        self.reports = {task.name: self._report(task, parts[task.name], courses[task.name]) for task in tasks}
        return self

    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of uint8 images, on the generator's device."""
        return posterior.posteriors(self.model(class_name).encoder, images, self._device)

    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, on the generator's device."""
        self.model(class_name)
        with torch.no_grad(), exact(self._device):
            return in_chunks(z.to(self._device, torch.float32), self._decoders[class_name])

    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, differentiable."""
        images: Tensor = self.model(class_name).decoder(z)
        return images

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Decoded draws from N(0, I)."""
        z = randoms.normal(n, self.config.latent_dim, derive(seed, "sample", class_name))
        return to_uint8(self.decode(z, class_name))

    def save(self, folder: Path) -> None:
        """Write the models: equal trainings are equal bytes."""
        states = [self._models[name].state_dict() for name in sorted(self._models)]
        weights = {f"{i}.{key}": value for i, state in enumerate(states) for key, value in state.items()}
        storage.write(folder, self.kind, self._spec(), weights)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        loaded = cls._of_spec(spec, device)
        for i, name in enumerate(sorted(loaded.classes)):
            loaded._take(name, under(f"{i}.", weights))
        return loaded

    def model(self, class_name: str) -> ConvVAE:
        """A class's model, in evaluation mode.

        Raises:
            ConfigError: the class was not fitted here.
        """
        return self._fitted(self._models.get(class_name), class_name)

    def _network(self) -> ConvVAE:
        return ConvVAE(self.channels, self.size, self.config.width, self.config.latent_dim)

    def _take(self, name: str, weights: Weights) -> None:
        """Make a class's model, and what decodes with it, of its weights."""
        model = with_weights(self._network, weights, self._device)
        self._models[name], self._decoders[name] = model, model.decoder.for_decoding()

    def _report(self, task: ClassTask, images: Tensor, course: Course) -> FitReport:
        return posterior.report(
            task.name,
            course,
            self.encode(images, task.name),
            images=len(task.rows),
            held_out=len(task.held_out),
            variance=float(self.model(task.name).variance),
            seconds=course.seconds,
        )
