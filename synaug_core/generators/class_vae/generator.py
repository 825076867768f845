"""Class-specific VAEs as a generator (De La Fuente et al., arXiv 2409.10286: one VAE per class, beta = 1)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ArtifactError, ConfigError
from synaug_core.generators import randoms, storage
from synaug_core.generators.base import LatentGenerator
from synaug_core.generators.class_vae.preparation import make_executor, make_tasks, start
from synaug_core.generators.class_vae.training import ClassTask, Course, train
from synaug_core.generators.elbo import kl_per_unit
from synaug_core.generators.exact import exact
from synaug_core.generators.fingerprint import fingerprint
from synaug_core.generators.fit_report import ACTIVE_VARIANCE, FitReport
from synaug_core.generators.pixels import in_chunks, to_float, to_uint8
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights
from synaug_core.nets.vae import ConvVAE, Decoder
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive

__all__ = ["ClassVAE"]

_SMALLEST = 8


class ClassVAE(LatentGenerator):
    """One convolutional VAE for each class."""

    kind: ClassVar[str] = "vae"

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._device = torch.device("cpu")
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
        if self.size < _SMALLEST:
            raise ConfigError(f"generator.kind: vae needs images of {_SMALLEST} px or more, these have {self.size}")
        parts = {name: self.of_class(images, name).images for name in sorted(self.classes)}
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
        model = self.model(class_name)
        with torch.no_grad(), exact(self._device):
            both = in_chunks(images.to(self._device), lambda part: torch.cat(model.encoder(to_float(part)), dim=1))
        mean, log_variance = both.chunk(2, dim=1)
        return mean, log_variance

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
        """Write the models; the time they took is left out, so that equal trainings are equal bytes."""
        names = sorted(self._models)
        spec = {
            "config": self.config.model_dump(mode="json"),
            "classes": list(self.classes),
            "channels": self.channels,
            "size": self.size,
            "reports": {name: self.reports[name].model_dump(mode="json", exclude={"seconds"}) for name in names},
        }
        states = [self._models[name].state_dict() for name in names]
        weights = {f"{i}.{key}": value for i, state in enumerate(states) for key, value in state.items()}
        storage.write(folder, self.kind, spec, weights)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        loaded = cls(
            GeneratorConfig.model_validate(spec["config"]), tuple(spec["classes"]), spec["channels"], spec["size"]
        )
        loaded._device = torch.device(device)
        loaded.reports = {name: FitReport.model_validate(report) for name, report in spec["reports"].items()}
        for i, name in enumerate(sorted(loaded.classes)):
            prefix = f"{i}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            loaded._take(name, own)
        return loaded

    def model(self, class_name: str) -> ConvVAE:
        """A class's model, in evaluation mode.

        Raises:
            ConfigError: the class was not fitted here.
        """
        if class_name not in self._models:
            raise ConfigError(f"no model was fitted for class {class_name!r}; there are {', '.join(self._models)}")
        return self._models[class_name]

    def _take(self, name: str, weights: Weights) -> None:
        """Make a class's model, and what decodes with it, of its weights."""
        with torch.device("meta"):  # nothing to initialise: the weights are at hand
            model = ConvVAE(self.channels, self.size, self.config.width, self.config.latent_dim)
        try:
            model.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ArtifactError("the weights do not fit the spec of this generator") from error
        model = model.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._models[name], self._decoders[name] = model, model.decoder.for_decoding()

    def _report(self, task: ClassTask, images: Tensor, course: Course) -> FitReport:
        mean, log_variance = self.encode(images, task.name)
        kl = kl_per_unit(mean, log_variance).mean(0)
        active = mean.var(0, correction=0) > ACTIVE_VARIANCE
        return FitReport(
            class_name=task.name,
            images=len(task.rows),
            held_out=len(task.held_out),
            steps=course.steps,
            best_step=course.best_step,
            status=course.status or "finished",
            curves=tuple(course.curves),
            latent_dim=self.config.latent_dim,
            active_units=int(active.sum()),
            kl_per_unit=tuple(kl.tolist()),
            variance=float(self.model(task.name).variance),
            seconds=course.seconds,
        )
