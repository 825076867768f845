"""Targeted images, and random ones of the same step lengths, as sets made once."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from synaug_core import errors, seeds
from synaug_core.classify.model import Classifier
from synaug_core.config import SynthesisConfig, TargetedConfig
from synaug_core.generators import base, randoms
from synaug_core.generators.pixels import deterministic_kernels, to_float, to_uint8
from synaug_core.synthesis import latent, strategy
from synaug_core.synthesis.targeted.ascent import ascend, median_distance, move
from synaug_core.synthesis.targeted.uncertainty import (
    Posterior,
    dropout_posterior,
    ensemble_posterior,
    uncertainty_function,
)

__all__ = ["random", "targeted"]

_ROWS_ON_CPU = 32
"""Rows that ascend at once on a CPU, few enough to stay in its caches; elsewhere a whole batch."""


def targeted(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """Training images moved, in latent space, to where the target classifier is less sure (TSynD, arXiv 2406.17473).

    The start is each training image of the class in turn, as in `reconstruct`, which zero steps give. Lengths are in
    units of the median latent distance between the class's training images. Batch number b of `batch_size` images
    has dropout masks of its own, the same over its whole ascent. The label stays the parent's.

    With `detail`, of either form, the image is x + dec(z) - dec(z_x), the real image and the decoded change, and the
    classifier is asked about that image all the way: the texture that a decoder loses stays (ours, not the paper's).

    Provenance has `uncertainty_before` (of the reconstruction; with `detail` of the real image), `uncertainty_after`
    and `step_length` in the units of the configuration; `measures` has their means over the images and the share of
    images that were raised.

    Raises:
        ConfigError: no latent space, no target classifier, a posterior without spread, or images of another shape.
    """
    return _move_images(source, n, config, seed, "targeted")


def random(source: strategy.Source, n: int, config: SynthesisConfig, *, seed: int) -> strategy.NewImages:
    """The control of `targeted`: for each image the same start and step length, in a random direction.

    Raises:
        ConfigError: as `targeted`.
    """
    return _move_images(source, n, config, seed, "random")


def _move_images(
    source: strategy.Source, n: int, config: SynthesisConfig, seed: int, kind: Literal["targeted", "random"]
) -> strategy.NewImages:
    generator, images, name = source.latent(kind), source.images, source.class_name
    choices = config.targeted
    posteriors = _posteriors(source, choices, generator, seed)
    mean, log_variance = generator.posteriors(images.images, name)
    image_rows = randoms.cycle(n, len(images), seeds.derive(seed, "first"))
    start = latent.ends(mean[image_rows], log_variance[image_rows], config.ends, seeds.derive(seed, "start"))
    fallback_direction = randoms.normal(n, start.shape[1], seeds.derive(seed, "direction")).to(start.device)
    unit = median_distance(mean)
    detail_kind = source.kept_detail(config)
    parts, columns = [], []
    for number, rows in enumerate(torch.split(torch.arange(n), choices.batch_size)):
        score = _score(generator, name, posteriors(number), choices)
        detail = None
        if detail_kind != "none":
            parents = to_float(images.images[image_rows[rows]].to(start.device))
            detail = parents - generator.decode(start[rows], name)
        moved, figures = _move_batch(start[rows], fallback_direction[rows], detail, score, choices, unit, kind)
        decoded = generator.decode(moved, name)
        parts.append(to_uint8(decoded if detail is None else (decoded + detail).clamp(0, 1)))
        columns.append(figures)
    table = torch.cat(columns)
    origin = {} if detail_kind == "none" else {"detail": detail_kind}
    provenance = [
        {"parents": [images.ids[i]], "uncertainty_before": b, "uncertainty_after": a, "step_length": length, **origin}
        for i, (b, a, length) in zip(image_rows.tolist(), table.tolist(), strict=True)
    ]
    return strategy.NewImages(torch.cat(parts), provenance, _mean_measures(table) if n else {})


def _move_batch(
    start: Tensor,
    fallback_direction: Tensor,
    detail: Tensor | None,
    score: Callable[[Tensor, Tensor | None], Tensor],
    config: TargetedConfig,
    unit: float,
    kind: Literal["targeted", "random"],
) -> tuple[Tensor, Tensor]:
    """Latents (n, latent), and for each the uncertainty before and after and the step length in units, (n, 3).

    Rows are computed in chunks of one size, the last filled up: kernels may differ with the number of rows, and an
    image must not depend on how many are asked for.
    """
    size = min(config.batch_size, _ROWS_ON_CPU) if start.device.type == "cpu" else config.batch_size
    z, columns = [start[:0]], [torch.empty(0, 3, dtype=torch.float64, device=start.device)]
    for first in range(0, len(start), size):
        rows = torch.arange(first, first + size, device=start.device).clamp_max(len(start) - 1)
        chunk = start[rows]
        chunk_lost = None if detail is None else detail[rows]
        with deterministic_kernels(start.device):
            ascent = ascend(
                chunk,
                partial(_score_with_detail, score, chunk_lost),
                steps=config.steps,
                step_size=config.step_size * unit,
                radius=config.radius * unit,
            )
            end, after = ascent.z, ascent.after
            if kind == "random":
                end = move(chunk, fallback_direction[rows], ascent.length)
                with torch.no_grad():
                    after = score(end, chunk_lost)
        z.append(end)
        columns.append(torch.stack((ascent.before, after, ascent.length.to(after) / unit), dim=1))
    return torch.cat(z)[: len(start)], torch.cat(columns)[: len(start)]


def _score_with_detail(score: Callable[[Tensor, Tensor | None], Tensor], detail: Tensor | None, z: Tensor) -> Tensor:
    return score(z, detail)


def _score(
    generator: base.LatentGenerator, name: str, posterior: Posterior, config: TargetedConfig
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The uncertainty about the decoded image, with the detail given back where there is some."""
    uncertainty = uncertainty_function(config.uncertainty)

    def score(z: Tensor, detail: Tensor | None) -> Tensor:
        decoded = generator.decode_with_gradient(z, name)
        return uncertainty(posterior(decoded if detail is None else (decoded + detail).clamp(0, 1)))

    return score


def _posteriors(
    source: strategy.Source, config: TargetedConfig, generator: base.LatentGenerator, seed: int
) -> Callable[[int], Posterior]:
    """The posterior of each batch, by its number."""
    shape = (generator.channels, generator.size)
    if not source.target:
        raise errors.ConfigError("synthesis.strategy: targeted and random need a classifier trained on real images")
    for classifier in source.target:
        takes = (classifier.channels, classifier.size)
        if takes != shape:
            raise errors.ConfigError(
                f"synthesis.targeted: the classifier takes {takes} (channels, px), the generator makes {shape}"
            )
    models = [_ready(classifier.model, source) for classifier in source.target]
    if config.posterior == "ensemble":
        if len(models) < 2:
            raise errors.ConfigError(
                "synthesis.targeted.posterior: an ensemble needs two classifiers or more; use dropout"
            )
        ensemble = ensemble_posterior(models)
        return lambda number: ensemble
    model = models[0]
    if model.dropout.rate == 0:
        raise errors.ConfigError(
            "synthesis.targeted.posterior: the classifier has no dropout, so its posterior would have no spread; "
            "set classifier.dropout above 0 or use an ensemble"
        )
    device = model.mean.device
    return lambda number: dropout_posterior(
        model, config.samples, seeds.stream(seeds.derive(seed, "masks", number), device)
    )


def _ready(model: Classifier, source: strategy.Source) -> Classifier:
    """In evaluation mode on the generator's device."""
    device = source.latent("targeted").posteriors(source.images.images[:1], source.class_name)[0].device
    return model.to(device).eval()


def _mean_measures(table: Tensor) -> dict[str, float]:
    before, after, length = table.double().mean(0).tolist()
    raised = float((table[:, 1] > table[:, 0]).double().mean())
    return {
        "uncertainty_before": before,
        "uncertainty_after": after,
        "share_raised": raised,
        "step_length": length,
    }
