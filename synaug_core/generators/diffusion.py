"""One class-conditional denoising diffusion model for all classes (Ho et al., arXiv 2006.11239).

From top to bottom: the generator, its training, its loss, what is random in it, the augmentation, and sampling. What
comes from the package diffusers, the U-Net, the noise schedule and the solvers, is in `synaug_core/nets/denoiser.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core import errors, seeds
from synaug_core.config import GeneratorConfig
from synaug_core.config.generator import Mirroring
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import base, fit_report, randoms, storage, training_loop
from synaug_core.generators.pixels import ImagePool, deterministic_kernels, draw_mirrors, in_chunks, to_uint8
from synaug_core.nets.denoiser import Denoiser, check_available, make_solver, signal_shares

__all__ = [
    "AUGMENTATIONS",
    "EMA_DELAY",
    "Batches",
    "ConditionalDiffusion",
    "Denoise",
    "DiffusionRun",
    "augment",
    "draw_augmentations",
    "draw_block",
    "draw_noise",
    "guided_denoiser",
    "learning_rate_at",
    "sample_deterministic",
    "velocity_losses",
]

_LARGEST = 128
_LEAST_SPREAD = 0.05
"""Of a channel's pixels in [0, 1] units; that of one flat image is 0."""
_CHUNK = 256
"""Images whose mean and spread are summed at once, so that their float64 pixels stay few."""


class ConditionalDiffusion(base.Generator):
    """One denoising network for all classes, which is given the class or nothing.

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

    def fit(self, images: ImageSet, job: base.FitJob) -> Self:
        """See `Generator.fit`; images of 8 to 128 px."""
        clock = training_loop.Clock(job.deadline)
        self._check()
        class_images = self._class_images(images)
        seed = seeds.derive(job.seed, self.kind)
        with seeds.seeded_init(seeds.derive(seed, "init")):
            network = self._make_network()
        pixels = torch.cat(list(class_images.values()))
        _standardise_channels(network, pixels)
        with deterministic_kernels(job.device):
            run = DiffusionRun(
                network.to(job.device).to(memory_format=torch.channels_last),
                ImagePool(pixels, job.device, self.config.augment),
                [len(part) for part in class_images.values()],
                self.config,
                seed,
                clock,
            )
            fingerprint = training_loop.digest_training(class_images, self.config, job)
            training_loop.run_training(run, clock, job, steps=self.config.steps, fingerprint=fingerprint)
        self._device = job.device
        self._load_weights(run.course.weights)
        self.reports = {
            name: _make_report(label, name, len(class_images[name]), run.course, clock.seconds)
            for label, name in enumerate(self._names)
        }
        return self

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Noise turned into images of a class in `sampling_steps` steps."""
        options, network = self.config.diffusion, self._fitted_model(self._network, class_name)
        shape = (self.channels, self.size, self.size)
        if n == 0:
            return torch.empty(0, *shape, dtype=torch.uint8)
        noise = randoms.normal(n, self.channels * self.size**2, seeds.derive(seed, "sample", class_name))
        denoise = self._denoise(network, class_name)

        def sample_chunk(chunk: Tensor) -> Tensor:
            solver = make_solver(options.sampler, options.noise_levels, options.sampling_steps)
            return sample_deterministic(denoise, chunk.contiguous(memory_format=torch.channels_last), solver)

        with torch.no_grad(), deterministic_kernels(self._device):
            images = in_chunks(noise.view(n, *shape).to(self._device), sample_chunk)
            return to_uint8(network.to_pixels(images))

    def save(self, folder: Path) -> None:
        """Write the averaged weights: equal trainings are equal bytes."""
        spec = self._spec()
        storage.write(folder, self.kind, spec, self._fitted_model(self._network, self._names[0]).state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        generator = cls._from_spec(spec, device)
        generator._check()
        generator._load_weights(weights)
        return generator

    def _check(self) -> None:
        """Raise what `fit` says about the configuration."""
        options = self.config.diffusion
        self._check_size(_LARGEST)
        if options.sampling_steps > options.noise_levels:
            raise errors.ConfigError(
                f"generator.diffusion.sampling_steps: {options.sampling_steps} are more than the "
                f"{options.noise_levels} noise_levels; take fewer steps"
            )
        check_available()

    def _make_network(self) -> Denoiser:
        return Denoiser(self.channels, self.size, self.config.width, len(self._names) + AUGMENTATIONS)

    def _load_weights(self, weights: storage.Weights) -> None:
        self._network = storage.build_module(self._make_network, weights, self._device)

    def _denoise(self, network: Denoiser, class_name: str) -> Denoise:
        options = self.config.diffusion
        hidden = torch.zeros(len(self._names) + AUGMENTATIONS, device=self._device)
        condition = hidden.clone()
        condition[self._names.index(class_name)] = 1
        shares = signal_shares(options.noise_levels).to(self._device)
        return guided_denoiser(network, shares, condition, hidden, options.guidance, network.bounds())


def _standardise_channels(network: Denoiser, pixels: Tensor) -> None:
    """Give the network the mean and the spread of each channel of uint8 images (n, channels, size, size)."""
    sums = torch.zeros(2, network.centre.shape[0], dtype=torch.float64)
    for chunk in torch.split(pixels, _CHUNK):
        shares = chunk.to(torch.float64) / 255
        sums += torch.stack((shares.sum(dim=(0, 2, 3)), shares.square().sum(dim=(0, 2, 3))))
    mean, square = sums / (pixels.numel() / pixels.shape[1])
    network.centre.copy_(mean[:, None, None])
    network.spread.copy_((square - mean.square()).clamp(min=_LEAST_SPREAD**2).sqrt()[:, None, None])


def _make_report(label: int, name: str, images: int, course: _Course, seconds: float) -> fit_report.FitReport:
    """How the fit went for the class with number `label`, of `images` images."""
    notes: tuple[str, ...] = ()
    if course.status == "diverged":
        outcome = (
            f"the weights of step {course.best_step} are kept" if course.best_step else "no trained weights are left"
        )
        advice = "try a lower generator.learning_rate"
        notes = (f"the loss was no number any more by step {course.steps}; {outcome}; {advice}",)
    curve = tuple((step, values[label]) for step, values in course.losses if not math.isnan(values[label]))
    return fit_report.FitReport(
        class_name=name,
        images=images,
        held_out=0,
        steps=course.steps,
        best_step=course.best_step,
        status=course.status or "finished",
        losses={"velocity_error": curve} if curve else {},
        notes=notes,
        seconds=seconds,
    )


EMA_DELAY = 9
"""Of the weights' average: a first step counts for 0.9 of it."""
_BETAS = (0.9, 0.99)
_WARMUP = 100
"""Steps over which the learning rate rises, at most a tenth of all."""
_FINAL_RATE = 0.1
"""Learning rate at the end over the highest."""


@dataclass
class _Course:
    """How far the training has come.

    Attributes:
        weights: the averaged ones of the last block whose losses and weights were finite.
    """

    weights: storage.Weights
    status: fit_report.Status | None = None
    steps: int = 0
    best_step: int = 0
    losses: list[tuple[int, list[float]]] = field(default_factory=list)
    """After each block: steps done, mean squared error of the velocity of each class (NaN where it had no image)."""


class DiffusionRun(training_loop.ModelRun[_Course]):
    """The training of the one network: blocks of steps, the averaged weights checked after each.

    Args:
        network: freshly initialised, on the device of `pool`.
        pool: the images, class after class.
        counts: images of each class.
        config: steps, batch size and so on.
        seed: of all randomness.
        clock: a block may take long here, so that it is checked at each step.
    """

    def __init__(
        self,
        network: Denoiser,
        pool: ImagePool,
        counts: list[int],
        config: GeneratorConfig,
        seed: int,
        clock: training_loop.Clock,
    ) -> None:
        self.network, self.pool, self.counts, self.config, self.seed = network, pool, counts, config, seed
        self.clock = clock
        self.shares = signal_shares(config.diffusion.noise_levels).to(pool.device)
        self.parameters: list[Tensor] = list(network.parameters())
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.optimizer = training_loop.make_optimizer(self.parameters, config.learning_rate, _BETAS)
        self.classes = torch.eye(len(counts), device=pool.device)
        self.course = _Course(self._averaged_weights())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for average, stored_weights in zip(self.averaged, state["averaged"], strict=True):
            average.copy_(stored_weights)
        losses = [(int(step), list(values)) for step, values in state["losses"]]
        self.course = _Course(self._averaged_weights(), state["status"], state["steps"], state["best_step"], losses)

    def state(self) -> dict[str, Any]:
        """Network, optimiser, averaged weights and course."""
        course = self.course
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "losses": [[step, values] for step, values in course.losses],
            "status": course.status,
            "steps": course.steps,
            "best_step": course.best_step,
        }

    def advance(self) -> dict[str, float]:
        """One block of steps; the mean loss."""
        first, config = self.course.steps, self.config
        end = min(first + config.evaluate_every, config.steps)
        batches = draw_block(
            self.counts,
            self.seed,
            first,
            steps=end - first,
            batch=config.batch_size,
            label_dropout=config.diffusion.label_dropout,
            augment=config.augment,
            noise_levels=len(self.shares),
        ).to(self.pool.device)
        sums = torch.zeros(2, len(self.counts), device=self.pool.device)
        for step in range(first, end):
            self.clock.check(step, config.steps)
            sums += self._step(step, batches, step - first)
        return self._judge(end, sums)

    def _step(self, step: int, batches: Batches, row: int) -> Tensor:
        """One optimiser step on that row of the batches; the losses and the images of each class, summed."""
        augmentations = batches.augmentations[row]
        mirrored = None if batches.mirrored is None else batches.mirrored[row]
        pixels = self.pool.batch(batches.rows[row], mirrored)
        images = augment(self.network.standardise(pixels), augmentations)
        labels = self.classes[batches.labels[row]]
        conditions = torch.cat((labels * ~batches.hidden[row][:, None], augmentations), dim=1)
        noise = draw_noise(images, self.seed, step)
        losses = velocity_losses(self.network, images, noise, batches.levels[row], conditions, self.shares)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, self.config.steps, self.config.learning_rate)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True)
        self.optimizer.step()
        decay = training_loop.ema_decay_at(step + 1, self.config.diffusion.ema, delay=EMA_DELAY)
        training_loop.update_ema(self.averaged, self.parameters, decay)
        # a product of matrices, since adding at indices does not repeat on a GPU
        return torch.stack((losses.detach(), torch.ones_like(losses))) @ labels

    def _judge(self, done: int, sums: Tensor) -> dict[str, float]:
        """Write a block down: keep its averaged weights, or end a training that left the finite numbers."""
        course = self.course
        size = torch.stack([p.abs().sum() for p in self.averaged]).sum()
        *flat, weights = torch.cat((sums.flatten(), size[None])).tolist()
        losses, images = flat[: len(self.counts)], flat[len(self.counts) :]
        course.steps = done
        if not math.isfinite(weights) or not all(map(math.isfinite, losses)):
            course.status = "diverged"
            for average, (name, _) in zip(self.averaged, self.network.named_parameters(), strict=True):
                average.copy_(course.weights[name])
            return {}
        course.losses.append((done, [x / n if n else math.nan for x, n in zip(losses, images, strict=True)]))
        course.weights, course.best_step = self._averaged_weights(), done
        course.status = "finished" if done >= self.config.steps else None
        return {"loss": sum(losses) / sum(images)}

    def _averaged_weights(self) -> storage.Weights:
        names = [name for name, _ in self.network.named_parameters()]
        averaged = {name: value.clone() for name, value in zip(names, self.averaged, strict=True)}
        return averaged | dict(self.network.named_buffers())


def learning_rate_at(step: int, steps: int, highest: float) -> float:
    """A short linear rise, then half a cosine down to a tenth."""
    rise = max(1, min(_WARMUP, steps // 10))
    if step < rise:
        return highest * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return highest * (_FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def velocity_losses(
    network: nn.Module, images: Tensor, noise: Tensor, levels: Tensor, conditions: Tensor, signal_shares: Tensor
) -> Tensor:
    """Mean squared error of the velocity v = alpha noise - sigma image of each image, float32 (n,).

    Salimans and Ho, arXiv 2202.00512, section 4. Few sampling steps begin at pure noise, where noise is known
    without a network and tells nothing about the image; the velocity there is the image itself.
    """
    share = signal_shares[levels][:, None, None, None]
    alpha, sigma = share.sqrt().to(torch.float32), (1 - share).sqrt().to(torch.float32)
    velocity = network(alpha * images + sigma * noise, levels, conditions)
    losses: Tensor = (velocity - (alpha * noise - sigma * images)).square().mean(dim=(1, 2, 3))
    return losses


@dataclass(frozen=True)
class Batches:
    """The numbers of a few steps, each (steps, batch) or (steps, batch, length).

    A block's numbers come from a seed that names the block, a step's noise from one that names the step, so that a
    training taken up at a block goes on with the same numbers.

    Attributes:
        rows: positions of images in the pool, int64.
        labels: their classes, int64.
        hidden: whose class is hidden from the network, bool.
        mirrored: how they are mirrored (`pixels.draw_mirrors`); None: none is.
        augmentations: as from `draw_augmentations`, float32 (steps, batch, AUGMENTATIONS).
        levels: levels of noise, int64.
    """

    rows: Tensor
    labels: Tensor
    hidden: Tensor
    mirrored: Tensor | None
    augmentations: Tensor
    levels: Tensor

    def to(self, device: torch.device) -> Batches:
        """The same numbers on a device."""
        values: dict[str, Tensor | None] = vars(self)
        moved = {name: value.to(device) for name, value in values.items() if value is not None}
        return replace(self, **moved)


def draw_block(
    counts: Sequence[int],
    seed: int,
    number: int,
    *,
    steps: int,
    batch: int,
    label_dropout: float,
    augment: Mirroring,
    noise_levels: int,
) -> Batches:
    """Batches balanced over the classes; a class's images are gone through in a random order before any comes again.

    Args:
        counts: images of each class; the pool holds them class after class.
        seed: of the training.
        number: of the block.
        steps: batches.
        batch: images of a batch.
        label_dropout: share of images whose class is hidden.
        augment: how images are mirrored.
        noise_levels: levels of noise. A batch spreads over them evenly (Kingma et al., arXiv 2107.00630, appendix
            I.1), which makes the loss of a step vary less than independent levels do.
    """
    random = seeds.stream(seeds.derive(seed, "block", number))
    rotation = torch.randint(len(counts), (steps, 1), generator=random)
    labels = (torch.arange(batch) + rotation) % len(counts)
    rows = torch.empty_like(labels)
    first = 0
    for label, count in enumerate(counts):
        places = labels == label
        n = int(places.sum())
        order = torch.rand(max(1, -(-n // count)), count, generator=random).argsort(dim=1).flatten()
        rows[places] = first + order[:n]
        first += count
    hidden = torch.rand(steps, batch, generator=random) < label_dropout
    mirrored = draw_mirrors((steps, batch), augment, random)
    augmentations = draw_augmentations(steps * batch, random).view(steps, batch, AUGMENTATIONS)
    strata = torch.rand(steps, batch, generator=random).argsort(dim=1)  # which class gets which level is left to chance
    levels = (strata + torch.rand(steps, 1, generator=random, dtype=torch.float64)) * (noise_levels / batch)
    return Batches(rows, labels, hidden, mirrored, augmentations, levels.long().clamp_(max=noise_levels - 1))


def draw_noise(like: Tensor, seed: int, step: int) -> Tensor:
    """Standard normal noise of a step, drawn on the device of `like` and of its shape."""
    random = seeds.stream(seeds.derive(seed, "noise", step), like.device)
    return torch.randn(like.shape, generator=random, device=like.device)


AUGMENTATIONS = 6
"""Numbers that describe the augmentation of an image; all zero for none."""
_PROBABILITY = 0.12
"""Of each of the four kinds, independently (Karras et al. take 12 % for small sets)."""
_SCALE = 0.2
"""Standard deviation of the binary logarithm of the scale."""
_SHIFT = 0.125
"""Standard deviation of a shift over the side."""


def draw_augmentations(n: int, random: torch.Generator) -> Tensor:
    """Non-leaky augmentation of `n` images (Karras et al., arXiv 2206.00364, section 5 and appendix F.2).

    The network is given these numbers too, so that with zeros it makes images without any augmentation.

    Returns:
        Float32 (n, AUGMENTATIONS): flipped top to bottom (0 or 1), log2 of the scale over its standard deviation,
        cosine - 1 and sine of the rotation, shift right and down over their standard deviation.
    """
    normal = torch.randn(n, 3, generator=random)
    angle = (2 * torch.rand(n, generator=random) - 1) * math.pi
    is_applied = (torch.rand(n, 4, generator=random) < _PROBABILITY).to(torch.float32)
    numbers = (is_applied[:, 0], normal[:, 0], angle.cos() - 1, angle.sin(), normal[:, 1], normal[:, 2])
    return torch.stack(numbers, dim=1) * is_applied[:, [0, 1, 2, 2, 3, 3]]


def augment(images: Tensor, augmentations: Tensor) -> Tensor:
    """The images flipped, scaled, rotated and shifted; those with a row of zeros come back to the last bit.

    Args:
        images: float32 (n, channels, size, size).
        augmentations: float32 (n, AUGMENTATIONS) as from `draw_augmentations`.
    """
    flip, scale = 1 - 2 * augmentations[:, 0], torch.exp2(-_SCALE * augmentations[:, 1])
    cosine, sine = augmentations[:, 2] + 1, augmentations[:, 3]
    shift_x, shift_y = (
        -2 * _SHIFT * augmentations[:, 4],
        -2 * _SHIFT * augmentations[:, 5],
    )  # where a pixel is read from
    rows = (
        torch.stack((scale * cosine, -scale * sine, shift_x), dim=1),
        torch.stack((flip * scale * sine, flip * scale * cosine, shift_y), dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return torch.where(augmentations.any(dim=1)[:, None, None, None], warped, images)


Denoise = Callable[[Tensor, Tensor], Tensor]
"""The clean images behind noisy ones (n, channels, size, size) at levels int64 (n,)."""


def guided_denoiser(
    network: nn.Module,
    signal_shares: Tensor,
    condition: Tensor,
    hidden: Tensor,
    guidance: float,
    bounds: tuple[Tensor, Tensor],
) -> Denoise:
    """The network's guess of the clean image, clipped to the range of images.

    Classifier-free guidance (Ho and Salimans, arXiv 2207.12598, there w = guidance - 1): velocity without the class
    + guidance x (velocity with it - without it). Guidance 1 and 0 need one of them only and compute no other.

    Args:
        network: gives the velocity v = alpha noise - sigma image of (noisy, levels, conditions).
        signal_shares: alpha squared of each level.
        condition: float32 (length,).
        hidden: the condition without a class, float32 (length,).
        guidance: 0 or more.
        bounds: the least and the greatest value of a pixel, each of a shape that broadcasts to the images'.
    """
    alpha, sigma = signal_shares.sqrt().to(torch.float32), (1 - signal_shares).sqrt().to(torch.float32)

    def denoise(noisy: Tensor, levels: Tensor) -> Tensor:
        n = len(noisy)
        if guidance in (0.0, 1.0):
            velocity = network(noisy, levels, (condition if guidance else hidden).expand(n, -1))
        else:
            conditions = torch.cat((condition.expand(n, -1), hidden.expand(n, -1)))
            with_class, without = network(noisy.repeat(2, 1, 1, 1), levels.repeat(2), conditions).chunk(2)
            velocity = without + guidance * (with_class - without)
        scale = (n, 1, 1, 1)
        image: Tensor = alpha[levels].view(scale) * noisy - sigma[levels].view(scale) * velocity
        return image.clamp(*bounds)

    return denoise


def sample_deterministic(denoise: Denoise, noise: Tensor, solver: Any) -> Tensor:
    """Images of standard normal noise, both float32 (n, channels, size, size), by a fresh solver."""
    images = noise
    for level in solver.timesteps.tolist():
        levels = torch.full((len(images),), level, dtype=torch.int64, device=images.device)
        images = solver.step(denoise(images, levels), level, images, return_dict=False)[0]
    return images
