"""What the generators with an encoder share: posteriors of many images, and what a class's say of the fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synaug_core.generators.course import Course
from synaug_core.generators.elbo import kl_per_unit
from synaug_core.generators.exact import exact
from synaug_core.generators.fit_report import ACTIVE_VARIANCE, FitReport
from synaug_core.generators.pixels import in_chunks, to_float

__all__ = ["Encoder", "posteriors", "report"]

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images float32 (n, channels, size, size) in [0, 1] to posterior mean and log variance, (n, latent) each."""


def posteriors(encoder: Encoder, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Posterior mean and log variance, float32 (n, latent) each on `device`, of uint8 images.

    An image's posterior depends on itself alone, not on how many are encoded with it.
    """
    with torch.no_grad(), exact(device):
        both = in_chunks(images.to(device), lambda part: torch.cat(encoder(to_float(part)), dim=1))
    mean, log_variance = both.chunk(2, dim=1)
    return mean, log_variance


def report(
    name: str,
    course: Course,
    posterior: tuple[Tensor, Tensor],
    *,
    images: int,
    held_out: int,
    variance: float,
    seconds: float,
) -> FitReport:
    """How the fit of a class went.

    Args:
        name: of the class.
        course: of its training.
        posterior: mean and log variance, (n, latent) each, of all its images.
        images: trained on.
        held_out: kept for the early stop.
        variance: of the likelihood.
        seconds: wall time.
    """
    mean, log_variance = posterior
    return FitReport(
        class_name=name,
        images=images,
        held_out=held_out,
        steps=course.steps,
        best_step=course.best_step,
        status=course.status or "finished",
        curves=tuple(course.curves),
        latent_dim=mean.shape[1],
        active_units=int((mean.var(0, correction=0) > ACTIVE_VARIANCE).sum()),
        kl_per_unit=tuple(kl_per_unit(mean, log_variance).mean(0).tolist()),
        variance=variance,
        seconds=seconds,
    )
