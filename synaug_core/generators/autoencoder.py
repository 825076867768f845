"""One autoencoder with a spatial latent for all classes, as targeted synthesis starts from.

From top to bottom: the generator, its training, its loss. The network is in `synaug_core/nets/autoencoder.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from synaug_core import errors, seeds
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import autoencoding, base, elbo, fit_report, randoms, storage, training_loop
from synaug_core.generators.pixels import ImagePool, deterministic_kernels, in_chunks, to_uint8
from synaug_core.nets.autoencoder import SpatialAutoencoderNet

__all__ = ["SpatialAutoencoder", "loss_terms"]


class SpatialAutoencoder(base.LatentGenerator):
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

    def fit(self, images: ImageSet, job: base.FitJob) -> Self:
        """See `Generator.fit`; images of 8 px or more. Frequent classes are seen more often."""
        clock = training_loop.Clock(job.deadline)
        self._check_size()
        class_images = self._class_images(images)
        class_rows = _hold_out_of_each(class_images, self.config.validation_share, job.seed)
        rows, held_out = (torch.cat([pair[i] for pair in class_rows.values()]) for i in (0, 1))
        pixels = torch.cat(list(class_images.values()))
        with seeds.seeded_init(seeds.derive(job.seed, "init")):
            model = self._network()
        model.start_at(pixels[rows].float().mean((0, 2, 3)) / 255)
        task = _Task(
            ImagePool(pixels, job.device, self.config.augment), rows, held_out, seeds.derive(job.seed, "training")
        )
        with deterministic_kernels(job.device):
            run = _Run(model.to(job.device).to(memory_format=torch.channels_last), task, self.config)
            fingerprint = training_loop.digest_training(class_images, self.config, job)
            training_loop.run_training(run, clock, job, steps=self.config.steps, fingerprint=fingerprint)
        self._device = job.device
        self._load_weights(run.course.weights)
        self._keep_posteriors(class_images)
        self._gaussians, self.reports = {}, {}
        variances = [point.variance for point in run.course.curves if point.step == run.course.best_step]
        for name, part in class_images.items():
            posterior = self.posteriors(part, name)
            self._gaussians[name] = _fit_gaussian(*posterior).cpu()
            self.reports[name] = autoencoding.make_report(
                name,
                run.course,
                posterior,
                images=len(class_rows[name][0]),
                held_out=len(class_rows[name][1]),
                variance=variances[0] if variances else 0.0,
                seconds=clock.seconds,
            )
        return self

    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of uint8 images, on the generator's device."""
        return autoencoding.encode_posteriors(self.model(class_name).encode, images, self._device)

    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, on the generator's device; the class makes no difference."""
        model = self.model(class_name)
        with torch.no_grad(), deterministic_kernels(self._device):
            return in_chunks(z.to(self._device, torch.float32), model.decode)

    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, differentiable; the class makes no difference."""
        return self.model(class_name).decode(z)

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Decoded draws from the class's Gaussian (diagonal covariance; see the class)."""
        self.model(class_name)
        mean, spread = self._gaussians[class_name]
        z = randoms.normal(n, len(mean), seeds.derive(seed, "sample", class_name))
        return to_uint8(self.decode(mean + spread * z, class_name))

    def save(self, folder: Path) -> None:
        """Write the model and the classes' Gaussians: equal trainings are equal bytes."""
        names = sorted(self.reports)
        spec = self._spec()
        weights = {f"model.{key}": value for key, value in self.model(names[0]).state_dict().items()}
        gaussians = {f"gaussian.{i}": self._gaussians[name] for i, name in enumerate(names)}
        storage.write(folder, self.kind, spec, weights | gaussians | self._stored_posteriors())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        generator = cls._from_spec(spec, device)
        generator._load_weights(storage.strip_prefix("model.", weights))
        try:
            generator._gaussians = {n: weights[f"gaussian.{i}"].cpu() for i, n in enumerate(sorted(generator.classes))}
        except KeyError as error:
            raise errors.ArtifactError(f"{folder}: {storage.MISFIT}") from error
        generator._restore_posteriors(weights)
        return generator

    def model(self, class_name: str) -> SpatialAutoencoderNet:
        """The one model, in evaluation mode.

        Raises:
            ConfigError: nothing was fitted yet, or not with this class.
        """
        return self._fitted_model(self._model, class_name)

    def _network(self) -> SpatialAutoencoderNet:
        choices = self.config.autoencoder
        halvings = int(math.log2(choices.downsampling))
        return SpatialAutoencoderNet(self.channels, self.size, self.config.width, choices.channels, halvings)

    def _load_weights(self, weights: storage.Weights) -> None:
        self._model = storage.build_module(self._network, weights, self._device)


def _hold_out_of_each(class_images: Mapping[str, Tensor], share: float, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows to train on and rows held out of each class; they count through the classes one after the other."""
    class_rows, first = {}, 0
    for name, images in class_images.items():
        rows, held_out = autoencoding.hold_out(len(images), share, seeds.derive(seed, "class", name))
        class_rows[name] = rows + first, held_out + first
        first += len(images)
    return class_rows


def _fit_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean and standard deviation of each latent unit over a class's posteriors, (2, latent): the spread of the
    means plus the posteriors' own, so that a class of one image has one too."""
    variance = mean.var(0, correction=0) + log_variance.exp().mean(0)
    return torch.stack((mean.mean(0), variance.sqrt()))


@dataclass(frozen=True)
class _Task:
    """What the model learns from.

    Attributes:
        pool: the images on the device.
        rows: positions in the pool of the images trained on, int64.
        held_out: those of the images held out; may be empty.
        seed: of all randomness.
    """

    pool: ImagePool
    rows: Tensor
    held_out: Tensor
    seed: int


class _Run(training_loop.ModelRun[autoencoding.Course]):
    """The training: blocks of steps, an evaluation on held-out images after each, an early stop.

    Minimises squared + absolute error + `config.autoencoder.kl` * KL, all summed over an image. There is no warm-up:
    so small a KL term cannot empty the latent. The course keeps the best weights; without held-out images the last
    finite ones.
    """

    def __init__(self, model: SpatialAutoencoderNet, task: _Task, config: GeneratorConfig) -> None:
        self.model, self.task, self.config = model, task, config
        self.optimizer = training_loop.make_optimizer(list(model.parameters()), config.learning_rate)
        self.course = autoencoding.Course(weights=storage.copy_weights(model.state_dict()))
        self._pixels = task.pool.batch(task.rows[:1], None).numel()
        exam = autoencoding.draw_exam(task.rows, task.held_out, task.seed, model.latent_dim)
        self._exam = exam.to(task.pool.device)

    def state(self) -> dict[str, Any]:
        return {
            "course": self.course.state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course = autoencoding.Course.from_state(state["course"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        first = self.course.steps
        steps = min(self.config.evaluate_every, self.config.steps - first)
        sums = self._train(self._draw_block(first, steps))
        row = torch.cat((sums / steps, self._examine())).tolist()
        self.course.steps = first + steps
        if not all(math.isfinite(v) for v in row):
            self.course.status = "diverged"
            return {}
        self._judge(row)
        return {"loss": self.course.curves[-1].loss / self._pixels}

    def _draw_block(self, first: int, steps: int) -> autoencoding.Batches:
        return autoencoding.draw_block(
            self.task.rows,
            self.task.seed,
            first,
            steps=steps,
            batch=min(self.config.batch_size, len(self.task.rows)),
            latent=self.model.latent_dim,
            augment=self.config.augment,
        ).to(self.task.pool.device)

    def _train(self, batches: autoencoding.Batches) -> Tensor:
        """The sum over the steps of the terms' means over a batch, (3,)."""
        parameters = list(self.model.parameters())
        sums = torch.zeros(3, device=self.task.pool.device)
        for step in range(len(batches.rows)):
            mirrored = None if batches.mirrored is None else batches.mirrored[step]
            images = self.task.pool.batch(batches.rows[step], mirrored)
            squared, absolute, kl = terms = loss_terms(images, *self.model(images, batches.noise[step])).mean(1)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(squared + absolute + self.config.autoencoder.kl * kl)
            nn.utils.clip_grad_norm_(parameters, self.config.clip, foreach=True)
            self.optimizer.step()
            sums += terms.detach()
        return sums

    @torch.no_grad()
    def _examine(self) -> Tensor:
        images = self.task.pool.batch(self._exam.rows[0], None)
        return loss_terms(images, *self.model(images, self._exam.noise[0])).mean(1)

    def _judge(self, row: list[float]) -> None:
        """Write down an evaluation; keep the weights where they are the best so far."""
        course, weight, pixels = self.course, self.config.autoencoder.kl, self._pixels
        squared, absolute, kl, exam_squared, exam_absolute, exam_kl = row
        held_out = bool(len(self.task.held_out))
        exam_loss = exam_squared + exam_absolute + weight * exam_kl
        point = fit_report.CurvePoint(
            step=course.steps,
            beta=weight,
            loss=squared + absolute + weight * kl,
            reconstruction=squared + absolute,
            kl=kl,
            held_out_loss=exam_loss if held_out else None,
            held_out_error=exam_squared / pixels if held_out else None,
            variance=exam_squared / pixels,
        )
        if course.judge(point, exam_loss, self.config, judged=held_out):
            course.weights = storage.copy_weights(self.model.state_dict())


def loss_terms(images: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Squared error, absolute error and KL(q(z|x) || N(0, I)), sums over an image's pixels or latent units: (3, n)."""
    difference = (images - decoded).flatten(1)
    kl = elbo.kl_per_unit(mean, log_variance).sum(1)
    return torch.stack((difference.square().sum(1), difference.abs().sum(1), kl))
