"""What the generators with an encoder share: images held out, batches with posterior noise, early stop, posteriors.

Everything of a block of steps is drawn from a seed that names the class and the block, so that a training
taken up at a block goes on with the same numbers, and one class never moves another's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from synaug_core.config import GeneratorConfig
from synaug_core.config.generator import Mirroring
from synaug_core.generators import elbo, fit_report, pixels, storage
from synaug_core.seeds import derive, stream

__all__ = [
    "Batches",
    "Course",
    "Encoder",
    "divide_few",
    "draw_block",
    "draw_exam",
    "encode_posteriors",
    "hold_out",
    "make_report",
]

_FEWEST_TO_DIVIDE = 10
"""Below this many images of a class none is held out."""
_FEWEST_HELD_OUT = 5
"""Where fewer than this would be held out, models of several divisions say together when to stop."""
_FOLDS = 3
"""Divisions of so small a class: each of its models learns from two thirds of the images."""
_MOST_HELD_OUT = 256
"""Most held-out images of one evaluation: it must stay cheap beside the steps between two of them."""
_EXAM_SAMPLES = 32
"""Posterior samples of an evaluation, at least (few images come several times); of images trained on, whose loss
decides nothing, no more than these."""

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images float32 (n, channels, size, size) in [0, 1] to posterior mean and log variance, (n, latent) each."""


@dataclass(frozen=True)
class Batches:
    """The numbers of a few steps of one class.

    Attributes:
        rows: positions of images, int64 (steps, batch).
        noise: standard normal, float32 (steps, batch, latent).
        mirrored: how images are mirrored (`pixels.draw_mirrors`), (steps, batch); None: none is.
    """

    rows: Tensor
    noise: Tensor
    mirrored: Tensor | None = None

    def to(self, device: torch.device) -> Batches:
        """The same numbers on a device."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Batches(self.rows.to(device), self.noise.to(device), mirrored)


def hold_out(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions 0..n-1 divided into those to train on and those held out, int64, each sorted."""
    count = max(1, round(share * n)) if share > 0 and n >= _FEWEST_TO_DIVIDE else 0
    order = torch.randperm(n, generator=stream(derive(seed, "held out")))
    return order[count:].sort().values, order[:count].sort().values


def divide_few(n: int, share: float, seed: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Several divisions like that of `hold_out`, whose held-out parts are all images; for classes of which so few would
    be held out that chance would say when to stop. None for larger classes, for the very small ones, and without a
    share to hold out."""
    if share == 0 or n < _FOLDS * 2 or round(share * n) >= _FEWEST_HELD_OUT:
        return ()
    order = torch.randperm(n, generator=stream(derive(seed, "folds")))
    parts = [order[k::_FOLDS].sort().values for k in range(_FOLDS)]
    return tuple((torch.cat(parts[:k] + parts[k + 1 :]).sort().values, part) for k, part in enumerate(parts))


def draw_block(
    rows: Tensor, seed: int, number: int, *, steps: int, batch: int, latent: int, augment: Mirroring
) -> Batches:
    """Batches that go through all of `rows` in a random order before any comes again, and their noise."""
    random = stream(derive(seed, "block", number))
    rounds = -(-steps * batch // len(rows))
    order = torch.rand(rounds, len(rows), generator=random).argsort(dim=1).flatten()[: steps * batch]
    noise = torch.randn(steps, batch, latent, generator=random)
    return Batches(rows[order].view(steps, batch), noise, pixels.draw_mirrors((steps, batch), augment, random))


def draw_exam(rows: Tensor, held_out: Tensor, seed: int, latent: int) -> Batches:
    """One batch of the held-out images, or of some trained on if there are none; the same at every evaluation."""
    random = stream(derive(seed, "examination"))
    candidates, limit = (held_out, _MOST_HELD_OUT) if len(held_out) else (rows, _EXAM_SAMPLES)
    exam_rows = candidates[torch.randperm(len(candidates), generator=random)[:limit]]
    exam_rows = exam_rows.repeat(-(-_EXAM_SAMPLES // len(exam_rows)))
    return Batches(exam_rows[None], torch.randn(1, len(exam_rows), latent, generator=random))


@dataclass
class Course:
    """How far the training of a model has come, and when it is to stop."""

    status: fit_report.Status | None = None
    """None while the training goes on."""
    steps: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    stale: int = 0
    """Judged evaluations since the best one."""
    curves: list[fit_report.CurvePoint] = field(default_factory=list)
    weights: storage.Weights = field(default_factory=dict)
    """The best weights."""
    seconds: float = 0.0
    """Wall time, once the training is through."""

    def state(self) -> dict[str, Any]:
        """As numbers, texts and tensors, for `from_state`."""
        return vars(self) | {"curves": [point.model_dump() for point in self.curves]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Course:
        """The course that `state` was taken of."""
        return cls(**(dict(state) | {"curves": [fit_report.CurvePoint(**point) for point in state["curves"]]}))

    def judge(self, point: fit_report.CurvePoint, loss: float, config: GeneratorConfig, *, judged: bool) -> bool:
        """Write an evaluation down; True where the present weights are worth keeping.

        Args:
            point: the evaluation.
            loss: of the images examined.
            config: its `steps` and `patience` end the training.
            judged: False where `loss` cannot tell good weights from bad: the latest are then the best.
        """
        self.steps = point.step
        self.curves.append(point)
        improved = not judged or loss < self.best_loss
        if improved:
            self.best_step, self.stale = self.steps, 0
            self.best_loss = loss if judged else math.inf
        else:
            self.stale += 1
        if self.steps >= config.steps:
            self.status = "finished"
        elif self.stale >= config.patience:
            self.status = "early stop"
        return improved


def encode_posteriors(encoder: Encoder, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Posterior mean and log variance, float32 (n, latent) each on `device`, of uint8 images.

    An image's posterior depends on itself alone, not on how many are encoded with it.
    """
    with torch.no_grad(), pixels.deterministic_kernels(device):
        stacked = pixels.in_chunks(images.to(device), lambda chunk: torch.cat(encoder(pixels.to_float(chunk)), dim=1))
    mean, log_variance = stacked.chunk(2, dim=1)
    return mean, log_variance


def make_report(
    name: str,
    course: Course,
    posterior: tuple[Tensor, Tensor],
    *,
    images: int,
    held_out: int,
    folds: int = 0,
    variance: float,
    seconds: float,
) -> fit_report.FitReport:
    """How the fit of a class went.

    Args:
        name: of the class.
        course: of its training.
        posterior: mean and log variance, (n, latent) each, of all its images.
        images: number trained on.
        held_out: number kept for the early stop.
        folds: models beside it that each left out a part of the images.
        variance: of the likelihood.
        seconds: wall time.
    """
    mean, log_variance = posterior
    return fit_report.FitReport(
        class_name=name,
        images=images,
        held_out=held_out,
        folds=folds,
        steps=course.steps,
        best_step=course.best_step,
        status=course.status or "finished",
        curves=tuple(course.curves),
        latent_dim=mean.shape[1],
        active_units=int((mean.var(0, correction=0) > fit_report.ACTIVE_VARIANCE).sum()),
        kl_per_unit=tuple(elbo.kl_per_unit(mean, log_variance).mean(0).tolist()),
        variance=variance,
        seconds=seconds,
    )
