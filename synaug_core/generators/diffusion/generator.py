"""A class-conditional diffusion model as a generator."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ConfigError
from synaug_core.generators import randoms, storage
from synaug_core.generators.base import Generator
from synaug_core.generators.diffusion import augmentation
from synaug_core.generators.diffusion.network import Denoiser, check_available, make_solver, signal_shares
from synaug_core.generators.diffusion.sampling import Denoise, denoiser, sample_deterministic
from synaug_core.generators.diffusion.training import Course, train
from synaug_core.generators.exact import exact
from synaug_core.generators.fingerprint import fingerprint
from synaug_core.generators.fit_report import FitReport
from synaug_core.generators.pixels import in_chunks, to_uint8
from synaug_core.generators.training_loop import Clock
from synaug_core.generators.weights import Weights, with_weights
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive, seeded_init

__all__ = ["ConditionalDiffusion"]

_LARGEST = 128
_LEAST_SPREAD = 0.05
"""Of a channel's pixels in [0, 1] units; that of one flat image is 0."""
_AT_ONCE = 256
"""Images looked at together, so that their float64 pixels stay few."""


class ConditionalDiffusion(Generator):
    """One denoising network for all classes (Ho et al., arXiv 2006.11239), told the class or nothing.

    All images are trained on; there is no early stop, since a noise prediction's held-out error says little about
    the images (`validation_share` and `patience` are not used). What it knows by heart is for the judge to find.
    """

    kind: ClassVar[str] = "diffusion"
    joint: ClassVar[bool] = True

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._names = tuple(sorted(self.classes))
        """In the order of the network's inputs, whatever the order of `classes`."""
        self._network: Denoiser | None = None

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
        """See `Generator.fit`; images of 8 to 128 px."""
        self._check()
        clock = Clock()
        parts = self._parts(images)
        own = derive(seed, self.kind)
        with seeded_init(derive(own, "init")):
            network = self._make()
        pool = torch.cat(list(parts.values()))
        _set_units(network, pool)
        with exact(device):
            course = train(
                network.to(device).to(memory_format=torch.channels_last),
                pool.to(device),
                [len(part) for part in parts.values()],
                signal_shares(self.config.diffusion.noise_levels),
                self.config,
                seed=own,
                fingerprint=fingerprint(parts, self.config, seed, device),
                progress=progress,
                checkpoint=checkpoint or Checkpoint(None),
                deadline=deadline,
            )
        self._device = device
        self._take(course.weights)
        self.reports = {n: _report(i, n, len(parts[n]), course, clock.seconds) for i, n in enumerate(self._names)}
        return self

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Noise turned into images of a class in `sampling_steps` steps."""
        options, network = self.config.diffusion, self._fitted(self._network, class_name)
        shape = (self.channels, self.size, self.size)
        if n == 0:
            return torch.empty(0, *shape, dtype=torch.uint8)
        noise = randoms.normal(n, self.channels * self.size**2, derive(seed, "sample", class_name))
        denoise = self._denoiser(network, class_name)

        def make(part: Tensor) -> Tensor:
            solver = make_solver(options.sampler, options.noise_levels, options.sampling_steps)
            return sample_deterministic(denoise, part.contiguous(memory_format=torch.channels_last), solver)

        with torch.no_grad(), exact(self._device):
            made = in_chunks(noise.view(n, *shape).to(self._device), make)
            return to_uint8(network.to_pixels(made))

    def save(self, folder: Path) -> None:
        """Write the averaged weights: equal trainings are equal bytes."""
        spec = self._spec()
        storage.write(folder, self.kind, spec, self._fitted(self._network, self._names[0]).state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        loaded = cls._of_spec(spec, device)
        loaded._check()
        loaded._take(weights)
        return loaded

    def _check(self) -> None:
        """Raise what `fit` says about the configuration."""
        options = self.config.diffusion
        self._check_size(_LARGEST)
        if options.sampling_steps > options.noise_levels:
            raise ConfigError(
                f"generator.diffusion.sampling_steps: {options.sampling_steps} are more than the "
                f"{options.noise_levels} noise_levels; take fewer steps"
            )
        check_available()

    def _make(self) -> Denoiser:
        return Denoiser(self.channels, self.size, self.config.width, len(self._names) + augmentation.LENGTH)

    def _take(self, weights: Weights) -> None:
        """Make the network that samples of its weights."""
        self._network = with_weights(self._make, weights, self._device)

    def _denoiser(self, network: Denoiser, class_name: str) -> Denoise:
        options = self.config.diffusion
        hidden = torch.zeros(len(self._names) + augmentation.LENGTH, device=self._device)
        condition = hidden.clone()
        condition[self._names.index(class_name)] = 1
        shares = signal_shares(options.noise_levels).to(self._device)
        return denoiser(network, shares, condition, hidden, options.guidance, network.bounds())


def _set_units(network: Denoiser, pool: Tensor) -> None:
    """Give the network the mean and the spread of each channel of uint8 images (n, channels, size, size)."""
    sums = torch.zeros(2, network.centre.shape[0], dtype=torch.float64)
    for part in torch.split(pool, _AT_ONCE):
        pixels = part.to(torch.float64) / 255
        sums += torch.stack((pixels.sum(dim=(0, 2, 3)), pixels.square().sum(dim=(0, 2, 3))))
    mean, square = sums / (pool.numel() / pool.shape[1])
    network.centre.copy_(mean[:, None, None])
    network.spread.copy_((square - mean.square()).clamp(min=_LEAST_SPREAD**2).sqrt()[:, None, None])


def _report(number: int, name: str, images: int, course: Course, seconds: float) -> FitReport:
    curve = tuple((step, values[number]) for step, values in course.losses if values[number] == values[number])
    return FitReport(
        class_name=name,
        images=images,
        held_out=0,
        steps=course.steps,
        best_step=course.best_step,
        status=course.status or "finished",
        losses={"velocity_error": curve} if curve else {},
        notes=_notes(course),
        seconds=seconds,
    )


def _notes(course: Course) -> tuple[str, ...]:
    if course.status != "diverged":
        return ()
    kept = f"the weights of step {course.best_step} are kept" if course.best_step else "no trained weights are left"
    return (f"the loss was no number any more by step {course.steps}; {kept}; try a lower generator.learning_rate",)
