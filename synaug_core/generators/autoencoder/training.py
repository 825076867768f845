"""The training of the autoencoder: blocks of steps, an evaluation on held-out images after each, an early stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.generators import draws
from synaug_core.generators.course import Course
from synaug_core.generators.elbo import kl_per_unit
from synaug_core.generators.fit_report import CurvePoint
from synaug_core.generators.pool import Pool
from synaug_core.generators.training_loop import Clock, OneCourse, go
from synaug_core.generators.weights import copied, make_optimizer
from synaug_core.nets.autoencoder import SpatialAutoencoderNet
from synaug_core.progress import Progress

__all__ = ["Task", "terms", "train"]


@dataclass(frozen=True)
class Task:
    """What is learnt from.

    Attributes:
        pool: the images on the device.
        rows: positions in the pool of the images trained on, int64.
        held_out: those of the images held out; may be empty.
        seed: where all randomness comes from.
        fingerprint: what the training depends on.
    """

    pool: Pool
    rows: Tensor
    held_out: Tensor
    seed: int
    fingerprint: str


def terms(images: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Squared error, absolute error and KL(q(z|x) || N(0, I)), sums over an image's pixels or latent units: (3, n)."""
    difference = (images - decoded).flatten(1)
    kl = kl_per_unit(mean, log_variance).sum(1)
    return torch.stack((difference.square().sum(1), difference.abs().sum(1), kl))


class _Run(OneCourse[Course]):
    """One training under way. Its course keeps the best weights; without held-out images the last finite ones."""

    def __init__(self, model: SpatialAutoencoderNet, task: Task, config: GeneratorConfig) -> None:
        self.model, self.task, self.config = model, task, config
        self.optimizer = make_optimizer(list(model.parameters()), config.learning_rate)
        self.course = Course(weights=copied(model.state_dict()))
        self._pixels = task.pool.batch(task.rows[:1], None).numel()
        self._exam = draws.examination(task.rows, task.held_out, task.seed, model.latent_dim).to(task.pool.device)

    def state(self) -> dict[str, Any]:
        return {
            "course": self.course.state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course = Course.from_state(state["course"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        first = self.course.steps
        steps = min(self.config.evaluate_every, self.config.steps - first)
        sums = self._train(self._block(first, steps))
        row = torch.cat((sums / steps, self._examine())).tolist()
        self.course.steps = first + steps
        if not all(math.isfinite(v) for v in row):
            self.course.status = "diverged"
            return {}
        self._judge(row)
        return {"loss": self.course.curves[-1].loss / self._pixels}

    def _block(self, first: int, steps: int) -> draws.Draws:
        return draws.block(
            self.task.rows,
            self.task.seed,
            first,
            steps=steps,
            batch=min(self.config.batch_size, len(self.task.rows)),
            latent=self.model.latent_dim,
            mirror=self.config.augment == "mirror",
        ).to(self.task.pool.device)

    def _train(self, block: draws.Draws) -> Tensor:
        """The sum over the steps of the terms' means over a batch, (3,)."""
        parameters = list(self.model.parameters())
        sums = torch.zeros(3, device=self.task.pool.device)
        for step in range(len(block.rows)):
            mirrored = None if block.mirrored is None else block.mirrored[step]
            images = self.task.pool.batch(block.rows[step], mirrored)
            squared, absolute, kl = parts = terms(images, *self.model(images, block.noise[step])).mean(1)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(squared + absolute + self.config.autoencoder.kl * kl)
            nn.utils.clip_grad_norm_(parameters, self.config.clip, foreach=True)
            self.optimizer.step()
            sums += parts.detach()
        return sums

    @torch.no_grad()
    def _examine(self) -> Tensor:
        images = self.task.pool.batch(self._exam.rows[0], None)
        return terms(images, *self.model(images, self._exam.noise[0])).mean(1)

    def _judge(self, row: list[float]) -> None:
        """Write down an evaluation; keep the weights where they are the best so far."""
        course, weight, pixels = self.course, self.config.autoencoder.kl, self._pixels
        squared, absolute, kl, held_squared, held_absolute, held_kl = row
        held_out = bool(len(self.task.held_out))
        examined = held_squared + held_absolute + weight * held_kl
        point = CurvePoint(
            step=course.steps,
            beta=weight,
            loss=squared + absolute + weight * kl,
            reconstruction=squared + absolute,
            kl=kl,
            held_out_loss=examined if held_out else None,
            held_out_error=held_squared / pixels if held_out else None,
            variance=held_squared / pixels,
        )
        if course.judge(point, examined, self.config, judged=held_out):
            course.weights = copied(self.model.state_dict())


def train(
    model: SpatialAutoencoderNet,
    task: Task,
    config: GeneratorConfig,
    *,
    progress: Progress,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> Course:
    """Minimise squared + absolute error + `config.autoencoder.kl` * KL, all summed over an image.

    Images are drawn as they come, so frequent classes are seen more often. There is no warm-up: so small a KL term
    cannot empty the latent.

    Args:
        model: freshly initialised, on the pool's device; changed in place.
        task: the images.
        config: steps, batch, patience and so on.
        progress: called after each block.
        checkpoint: offered the state after each block; an earlier state of this fingerprint is taken up.
        deadline: seconds from now.

    Raises:
        DeadlineError: the time was up.
    """
    clock = Clock(deadline)
    run = _Run(model, task, config)
    go(run, clock, steps=config.steps, fingerprint=task.fingerprint, progress=progress, checkpoint=checkpoint)
    return run.course
