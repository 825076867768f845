"""One class-conditional GAN for all classes: hinge loss, R1, differentiable augmentation, averaged weights.

From top to bottom: the generator, its training, what is random in it, one step of each network, the losses, the
augmentation, sampling, and the watch for mode collapse. The networks are in `synaug_core/nets/gan.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core.config import GeneratorConfig
from synaug_core.config.generator import Mirroring
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import base, fit_report, randoms, storage, training_loop
from synaug_core.generators.pixels import ImagePool, deterministic_kernels, draw_mirrors, in_chunks, to_uint8
from synaug_core.nets.gan import Discriminator, ImageGenerator
from synaug_core.seeds import derive, seeded_init, stream

__all__ = [
    "CHANCES",
    "COMPARED",
    "SUSPECT_DISTANCE",
    "SUSPECT_DIVERSITY",
    "Batches",
    "ConditionalGAN",
    "Networks",
    "augment",
    "describe_collapse",
    "discriminator_hinge_loss",
    "draw_block",
    "measure_diversity",
    "r1_penalty",
    "sample_images",
]

_BETAS = (0.0, 0.99)


class ConditionalGAN(base.Generator):
    """A class-conditional GAN; the classes' order is that of their sorted names."""

    kind: ClassVar[str] = "gan"
    joint: ClassVar[bool] = True

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._generator: ImageGenerator | None = None

    def fit(self, images: ImageSet, job: base.FitJob) -> Self:
        """See `Generator.fit`; images of 8 px or more. A class's result depends on the other classes too."""
        clock = training_loop.Clock(job.deadline)
        self._check_size()
        class_images = self._class_images(images)
        tasks = _make_tasks(class_images, job.seed)
        with deterministic_kernels(job.device):
            networks = Networks(
                ImagePool(torch.cat(list(class_images.values())), job.device, self.config.augment),
                classes=len(class_images),
                channels=self.channels,
                size=self.size,
                config=self.config,
                seed=job.seed,
            )
            run = _Run(networks, tasks, self.config, job.seed)
            fingerprint = training_loop.digest_training(class_images, self.config, job)
            training_loop.run_training(run, clock, job, steps=self.config.steps, fingerprint=fingerprint)
        run.course.seconds = clock.seconds
        self._device = job.device
        self._load_weights(run.course.weights)
        self.reports = {task.name: self._report(task, run.course) for task in tasks}
        return self

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Images of draws from N(0, I).

        Raises:
            ConfigError: the class was not fitted here.
        """
        generator = self._fitted_model(self._generator, class_name)
        z = randoms.normal(n, self.config.latent_dim, derive(seed, "sample", class_name))
        return to_uint8(sample_images(generator, z.to(self._device), sorted(self.classes).index(class_name)))

    def save(self, folder: Path) -> None:
        """Write the averaged generator: equal trainings are equal bytes."""
        spec = self._spec()
        storage.write(folder, self.kind, spec, self._fitted_model(self._generator, self.classes[0]).state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        generator = cls._from_spec(spec, device)
        generator._load_weights(weights)
        return generator

    def _network(self) -> ImageGenerator:
        return ImageGenerator(len(self.classes), self.channels, self.size, self.config.width, self.config.latent_dim)

    def _load_weights(self, weights: storage.Weights) -> None:
        self._generator = storage.build_module(self._network, weights, self._device)

    def _report(self, task: _ClassTask, course: _Course) -> fit_report.FitReport:
        measures = course.measures.get(task.name, {})
        notes = [describe_collapse(task.name, len(task.rows), measures)]
        if course.status == "diverged":
            notes.insert(
                0, f"the training diverged by step {course.steps}: the weights of step {course.best_step} are kept"
            )
        diversity = {"diversity": course.diversity[task.name]} if task.name in course.diversity else {}
        return fit_report.FitReport(
            class_name=task.name,
            images=len(task.rows),
            held_out=0,
            steps=course.steps,
            best_step=course.best_step,
            status=course.status or "finished",
            losses={name: tuple(points) for name, points in (course.losses | diversity).items()},
            measures=measures,
            notes=tuple(text for text in notes if text is not None),
            seconds=course.seconds,
        )


@dataclass(frozen=True)
class _ClassTask:
    """One class; its number is its place among the sorted names.

    Attributes:
        name: the class.
        images: uint8 (n, channels, size, size).
        rows: their positions in the pool, int64.
        seed: of the class's own randomness.
    """

    name: str
    images: Tensor
    rows: Tensor
    seed: int

    def compared_images(self) -> Tensor:
        """The images that samples are compared with, the same ones every time."""
        order = torch.randperm(len(self.images), generator=stream(derive(self.seed, "examined")))
        return self.images[order[:COMPARED]]


def _make_tasks(class_images: Mapping[str, Tensor], seed: int) -> list[_ClassTask]:
    """A task for each class; rows count through the classes' images put one after the other."""
    tasks, first = [], 0
    for name, images in class_images.items():
        rows = torch.arange(first, first + len(images))
        tasks.append(_ClassTask(name, images, rows, derive(seed, "class", name)))
        first += len(images)
    return tasks


@dataclass
class _Course:
    """How far the training has come.

    Attributes:
        status: None while it goes on.
        steps: done.
        best_step: steps of the weights kept.
        losses: curves of the whole model: name to (step, value).
        diversity: class name to its curve.
        measures: class name to those of the weights kept.
        weights: the averaged ones of the last evaluation that was all finite.
        seconds: wall time.
    """

    status: fit_report.Status | None = None
    steps: int = 0
    best_step: int = 0
    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    diversity: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: storage.Weights = field(default_factory=dict)
    seconds: float = 0.0


class _Run(training_loop.ModelRun[_Course]):
    """The training: blocks of steps, an evaluation after each."""

    def __init__(self, networks: Networks, tasks: Sequence[_ClassTask], config: GeneratorConfig, seed: int) -> None:
        self.networks, self.tasks, self.config, self.seed = networks, tasks, config, seed
        self.course = _Course(weights=networks.averaged())
        self._compared = [task.compared_images() for task in tasks]

    def begin(self) -> None:
        """Evaluate, so that there are measures even where the first block diverges."""
        self._evaluate()

    def state(self) -> dict[str, Any]:
        return {"course": asdict(self.course), "networks": self.networks.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course = _Course(**state["course"])
        self.networks.load_state(state["networks"])

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        course, config = self.course, self.config
        steps = min(config.evaluate_every, config.steps - course.steps)
        batches = draw_block(
            [task.rows for task in self.tasks],
            [task.seed for task in self.tasks],
            self.seed,
            course.steps,
            steps=steps,
            batch=config.batch_size,
            latent=config.latent_dim,
            augment=config.augment,
        ).to(self.networks.pool.device)
        losses = self.networks.train(batches, course.steps).tolist()
        course.steps += steps
        if not all(math.isfinite(value) for value in losses) or not self._evaluate():
            course.status = "diverged"
            return {}
        values = dict(zip(("discriminator_loss", "generator_loss", "gradient_penalty"), losses, strict=True))
        if not config.gan.r1:
            del values["gradient_penalty"]
        for name, value in values.items():
            course.losses.setdefault(name, []).append((course.steps, value))
        if course.steps >= config.steps:
            course.status = "finished"
        return values

    def _evaluate(self) -> bool:
        """Measure the averaged generator and keep its weights; False where its images are not finite."""
        measures: dict[str, dict[str, float]] = {}
        for label, (task, real_images) in enumerate(zip(self.tasks, self._compared, strict=True)):
            z = randoms.normal(len(real_images), self.config.latent_dim, derive(task.seed, "evaluation"))
            samples = sample_images(self.networks.average, z.to(self.networks.pool.device), label)
            if not bool(torch.isfinite(samples).all()):
                return False
            measures[task.name] = measure_diversity(real_images, to_uint8(samples))
        course = self.course
        course.measures, course.weights, course.best_step = measures, self.networks.averaged(), course.steps
        for name, class_measures in measures.items():
            if "diversity" in class_measures:
                course.diversity.setdefault(name, []).append((course.steps, class_measures["diversity"]))
        return True


@dataclass(frozen=True)
class Batches:
    """The numbers of a few steps, drawn from seeds that name the block.

    Attributes:
        labels: classes of real and of generated images, int64 (steps, batch).
        rows: positions of the real images, int64 (steps, batch).
        mirrored: how real images are shown mirrored (`pixels.draw_mirrors`), (steps, batch); None: none is.
        latents: for the discriminator's step and the generator's, float32 (steps, 2, batch, latent).
        chances: augmentation of the real images, of the generated ones of the discriminator's step and of those of
            the generator's, float32 (steps, 3, batch, CHANCES).
    """

    labels: Tensor
    rows: Tensor
    mirrored: Tensor | None
    latents: Tensor
    chances: Tensor

    def to(self, device: torch.device) -> Batches:
        """The same numbers on a device."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        labels, rows, latents, chances = (t.to(device) for t in (self.labels, self.rows, self.latents, self.chances))
        return Batches(labels, rows, mirrored, latents, chances)


def draw_block(
    rows: Sequence[Tensor],
    seeds: Sequence[int],
    seed: int,
    first: int,
    *,
    steps: int,
    batch: int,
    latent: int,
    augment: Mirroring,
) -> Batches:
    """Steps `first` to `first + steps`: classes take turns, so that a rare one is seen as often as any.

    Within the block, a class's images all come, in a random order, before any comes again.

    Args:
        rows: positions of each class's images.
        seeds: one of each class.
        seed: of what the classes share.
        first: steps done before.
        steps: how many.
        batch: images a step.
        latent: length of a latent vector.
        augment: how real images are mirrored.
    """
    labels = (torch.arange(steps * batch) + first * batch) % len(rows)
    drawn_rows = torch.empty_like(labels)
    for label, (class_rows, class_seed) in enumerate(zip(rows, seeds, strict=True)):
        places = (labels == label).nonzero().flatten()
        rounds = -(-len(places) // len(class_rows))
        shuffled = torch.rand(rounds, len(class_rows), generator=stream(derive(class_seed, "block", first)))
        drawn_rows[places] = class_rows[shuffled.argsort(dim=1).flatten()[: len(places)]]
    random = stream(derive(seed, "block", first))
    return Batches(
        labels.view(steps, batch),
        drawn_rows.view(steps, batch),
        draw_mirrors((steps, batch), augment, random),
        torch.randn(steps, 2, batch, latent, generator=random),
        torch.rand(steps, 3, batch, CHANCES, generator=random),
    )


class Networks:
    """Generator, its average and the discriminator on the pool's device, and their optimisers.

    Args:
        pool: the images that the rows of `Batches` point into.
        classes: how many.
        channels: 1 or 3.
        size: side length in pixels.
        config: widths, rates, weights of the losses.
        seed: of the first weights.
    """

    def __init__(
        self, pool: ImagePool, *, classes: int, channels: int, size: int, config: GeneratorConfig, seed: int
    ) -> None:
        with seeded_init(derive(seed, "init")):
            generator = ImageGenerator(classes, channels, size, config.width, config.latent_dim)
            discriminator = Discriminator(classes, channels, size, config.width)
        self.pool, self.config = pool, config
        self.generator = generator.to(pool.device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(pool.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        rate = config.learning_rate
        self._generator_optimizer = training_loop.make_optimizer(list(self.generator.parameters()), rate, _BETAS)
        self._discriminator_optimizer = training_loop.make_optimizer(
            list(self.discriminator.parameters()), rate * config.gan.discriminator_rate, _BETAS
        )

    def train(self, batches: Batches, first: int) -> Tensor:
        """A step of each network for each row of `batches`, the first of them number `first` counted from 0.

        Returns:
            float32 (3,) on the device: discriminator's and generator's loss, means over the steps, and the gradient
            penalty before its weight, mean over the steps that took one (0 where none did).
        """
        sums = torch.zeros(3, device=self.pool.device)
        penalties = 0
        for i in range(len(batches.labels)):
            labels = batches.labels[i]
            penalised = self.config.gan.r1 > 0 and (first + i) % self.config.gan.r1_every == 0
            penalties += penalised
            mirrored = None if batches.mirrored is None else batches.mirrored[i]
            real = self.pool.batch(batches.rows[i], mirrored) * 2 - 1
            loss, penalty = self._step_discriminator(
                real, labels, batches.latents[i, 0], batches.chances[i, :2], penalised=penalised
            )
            generator_loss = self._step_generator(labels, batches.latents[i, 1], batches.chances[i, 2])
            sums += torch.stack((loss, generator_loss, penalty))
            decay = training_loop.ema_decay_at(first + i + 1, self.config.gan.ema)
            training_loop.update_ema(list(self.average.parameters()), list(self.generator.parameters()), decay)
        counts = torch.tensor([len(batches.labels), len(batches.labels), max(1, penalties)], device=sums.device)
        return sums / counts

    def _step_discriminator(
        self, real: Tensor, labels: Tensor, z: Tensor, chances: Tensor, *, penalised: bool
    ) -> tuple[Tensor, Tensor]:
        """A step of the discriminator; its hinge loss and the penalty."""
        with torch.no_grad():
            generated = self.generator(z, labels)
        augmented = self._augment(torch.cat((real, generated)), chances.flatten(0, 1)).requires_grad_(penalised)
        scores = self.discriminator(augmented, labels.repeat(2))
        real_scores, generated_scores = scores.chunk(2)
        loss = discriminator_hinge_loss(real_scores, generated_scores)
        # images of a batch do not meet in the discriminator: the generated ones' gradients are 0 here, half the mean
        penalty = 2 * r1_penalty(real_scores, augmented) if penalised else torch.zeros_like(loss)
        weight = 0.5 * self.config.gan.r1 * self.config.gan.r1_every
        self._descend(loss + weight * penalty, self.discriminator, self._discriminator_optimizer)
        return loss.detach(), penalty.detach()

    def _step_generator(self, labels: Tensor, z: Tensor, chances: Tensor) -> Tensor:
        """A step of the generator; its loss."""
        self.discriminator.requires_grad_(False)  # spares the gradients of its weights
        loss: Tensor = -self.discriminator(self._augment(self.generator(z, labels), chances), labels).mean()
        self.discriminator.requires_grad_(True)
        self._descend(loss, self.generator, self._generator_optimizer)
        return loss.detach()

    def _augment(self, images: Tensor, chances: Tensor) -> Tensor:
        augmented = augment(images, chances, self.config.gan.augmentation)
        return augmented.contiguous(memory_format=torch.channels_last)

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.clip, foreach=True)
        optimizer.step()

    def averaged(self) -> storage.Weights:
        """A copy of the averaged weights, on the CPU."""
        return {name: value.cpu() for name, value in storage.copy_weights(self.average.state_dict()).items()}

    def state(self) -> dict[str, Any]:
        """Everything that a training needs to go on, for `load_state`."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "generator_step": self._generator_optimizer,
            "discriminator_step": self._discriminator_optimizer,
        }


def discriminator_hinge_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """The discriminator's hinge loss of scores (n,) and (m,), a mean over images (Lim and Ye, 2017).

    The generator's is the negative mean of the scores of its images.
    """
    return F.relu(1 - real_scores).mean() + F.relu(1 + generated_scores).mean()


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """R1 without its weight: mean over images of the squared gradient of a score to its image (Mescheder et al., 2018).

    Args:
        scores: (n,), computed from `images`, none from another's image.
        images: (n, ...), requiring gradients.

    Returns:
        A scalar that can itself be differentiated.
    """
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


CHANCES = 8
"""Uniform numbers that the augmentation of one image takes."""
_SHIFT = 1 / 8
"""Furthest translation, as a share of the side."""
_CUT = 1 / 2
"""Side of the square cut out, as a share of the image's."""


def augment(images: Tensor, chances: Tensor, kinds: Collection[str]) -> Tensor:
    """Each image altered in its own way; differentiable, any number of times (DiffAugment; Zhao et al., NeurIPS 2020).

    The discriminator sees real and generated images only like this; as gradients pass through, the generator learns
    the images before the augmentation. All chance comes in as uniform numbers, so that equal numbers give equal images.

    Args:
        images: float (n, channels, size, size) in [-1, 1].
        chances: uniform in [0, 1), (n, CHANCES).
        kinds: of `color` (brightness, saturation, contrast), `translation` and `cutout` (both leave mid-grey,
            0, behind) and `mirror`; none: the images as they are.

    Returns:
        The same shape. `color` may leave [-1, 1]; the others do not. It is not clamped, as that would stop the
        gradients of what it clamps.
    """
    if "color" in kinds:
        images = _change_color(images, *chances[:, :3, None, None, None].unbind(1))
    if "translation" in kinds or "mirror" in kinds:
        images = _translate(images, chances[:, 3:6], shift="translation" in kinds, mirror="mirror" in kinds)
    if "cutout" in kinds:
        images = _cut_out(images, chances[:, 6:8])
    return images


def _change_color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translate(images: Tensor, chances: Tensor, *, shift: bool, mirror: bool) -> Tensor:
    """By a matrix for the rows and one for the columns, each row of it a single one or nothing.

    Products with ones and zeros are exact, and their gradients take the same order of summing every time,
    which those of gathered pixels do not on a GPU.
    """
    size = images.shape[-1]
    max_shift = round(size * _SHIFT) if shift else 0
    places = torch.arange(size, device=images.device)
    steps = (chances[:, :2] * (2 * max_shift + 1)).floor().to(torch.int64) - max_shift
    target = places[None, :, None] - steps[:, None, :]  # n, place, axis
    source_rows, source_columns = target.unbind(2)
    if mirror:
        source_columns = torch.where(chances[:, 2:3] < 0.5, size - 1 - source_columns, source_columns)
    rows = (source_rows[:, :, None] == places).to(images.dtype)
    columns = (source_columns[:, :, None] == places).to(images.dtype)
    return rows[:, None] @ images @ columns[:, None].mT


def _cut_out(images: Tensor, chances: Tensor) -> Tensor:
    size = images.shape[-1]
    side = round(size * _CUT)
    places = torch.arange(size, device=images.device)
    # the square's centre lies anywhere in the image, so that its corners are cut as often as its middle
    first = (chances * (size + 1 - side % 2)).floor().to(torch.int64) - side // 2
    is_inside = (places >= first[..., None]) & (places < first[..., None] + side)  # n, axis, place
    hole = is_inside[:, 0, :, None] & is_inside[:, 1, None, :]
    return images * (~hole)[:, None].to(images.dtype)


def sample_images(generator: ImageGenerator, z: Tensor, label: int) -> Tensor:
    """Images float32 (n, channels, size, size) in [0, 1] of one class, from latents (n, latent) on its device.

    An image depends on its own vector alone, not on how many are sampled with it.
    """

    def generate(chunk: Tensor) -> Tensor:
        labels = torch.full((len(chunk),), label, dtype=torch.int64, device=chunk.device)
        images: Tensor = generator(chunk, labels)
        return images.add(1).mul(0.5)

    with torch.no_grad(), deterministic_kernels(z.device):
        return in_chunks(z, generate)


COMPARED = 64
"""Most images of a class, and as many samples, that are compared in the search for a mode collapse."""
SUSPECT_DIVERSITY = 0.5
"""Below this ratio of mean pairwise distances a collapse is suspected: all samples are much alike."""
SUSPECT_DISTANCE = 0.2
"""Below this ratio of mean distances to the nearest neighbour too: there are a few images that come again and again."""
_FEWEST = 5
"""Images of a class below which the ratios are recorded, but say too little to suspect anything."""
_SIDE = 16
"""Images are compared at this side: what a class varies in there (place, shape, colour) is what a collapsed generator
no longer varies."""
_EQUAL = 1e-4
"""A mean distance of real images under this, in [0, 1] pixel units, is none: the class is one image over and over."""


def measure_diversity(real: Tensor, samples: Tensor) -> dict[str, float]:
    """How varied samples of a class are beside its images.

    Args:
        real: uint8 (n, channels, size, size).
        samples: uint8 (m, channels, size, size), on the same device; as many of them as of the real ones are used.

    Returns:
        `diversity`, the ratio of mean pairwise distances, and `neighbour_distance`, that of mean distances to the
        nearest neighbour; 1: as varied as the real images, 0: all equal. A ratio is left out where it is not
        defined: fewer than two images, or real images that are all equal (or, for the second, all in pairs).
    """
    n = min(len(real), len(samples))  # a nearest neighbour is nearer among more
    if n < 2:
        return {}
    sample_distances, real_distances = _mean_distances(samples[:n]), _mean_distances(real[:n])
    return {
        name: float(sample_distances[i] / real_distances[i])
        for i, name in enumerate(("diversity", "neighbour_distance"))
        if real_distances[i] > _EQUAL
    }


def describe_collapse(class_name: str, images: int, measures: dict[str, float]) -> str | None:
    """A sentence for the user where the measures of a class of so many images look like a mode collapse."""
    diversity, distance = measures.get("diversity"), measures.get("neighbour_distance")
    if images < _FEWEST:
        return None
    if diversity is not None and diversity < SUSPECT_DIVERSITY:
        return f"mode collapse suspected: samples of {class_name} are {diversity:.2f} times as varied as its images"
    if distance is not None and distance < SUSPECT_DISTANCE:
        return (
            f"mode collapse suspected: samples of {class_name} are {distance:.2f} times as far from their nearest "
            "neighbour as its images"
        )
    return None


def _mean_distances(images: Tensor) -> tuple[float, float]:
    """Mean distance of two images, and of an image to its nearest neighbour: root mean squares in [0, 1] units."""
    pixels = images.to(torch.float64).div_(255)
    if pixels.shape[-1] > _SIDE:
        pixels = F.adaptive_avg_pool2d(pixels, _SIDE)
    flat = pixels.flatten(1)
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / flat.shape[1] ** 0.5
    n = len(distances)
    nearest_mean = float(distances.fill_diagonal_(torch.inf).min(1).values.mean())
    return float(distances.fill_diagonal_(0).sum()) / (n * (n - 1)), nearest_mean
