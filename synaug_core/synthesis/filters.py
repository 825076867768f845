"""The gate: what a synthetic image must pass to be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaug_core.config import FilterConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.quality.distances import contrast, find_nearest, pairwise, spacing

__all__ = ["REASONS", "Judge", "Reason", "Reference", "Verdict", "apply"]

Judge = Callable[[ImageSet], NDArray[np.floating]]
"""Synthetic images with their provenance to class probabilities (n, C); a row of NaN: nobody can judge it."""

Reason = Literal["blank", "copy of a training image", "unlikely label", "near-duplicate"]
REASONS: tuple[Reason, ...] = ("blank", "copy of a training image", "unlikely label", "near-duplicate")
"""In the order of the checks; an image is dropped for the first that it fails."""


@dataclass(frozen=True)
class Reference:
    """Distances and contrast of a class's training images, against which candidates are measured.

    Attributes:
        unit: median distance between nearest training images (see `distances.spacing`).
        contrast: lowest contrast of a training image.
    """

    unit: float
    contrast: float

    @classmethod
    def from_images(cls, images: Tensor) -> Reference:
        """Measure the class's training images, uint8 (n, c, h, w), n >= 1."""
        return cls(spacing(images), float(contrast(images).min()))


@dataclass(frozen=True)
class Verdict:
    """Which of n candidates the filters accept.

    Attributes:
        keep: bool (n,).
        reasons: why each was dropped; None of those kept.
        probability: of the own class by the judge, float64 (n,); NaN where nobody judged.
    """

    keep: Tensor
    reasons: tuple[Reason | None, ...]
    probability: Tensor


def apply(
    candidates: ImageSet,
    train: ImageSet,
    config: FilterConfig,
    judge: Judge | None = None,
    already_kept: Tensor | None = None,
    *,
    reference: Reference | None = None,
    real_probability: float | None = None,
) -> Verdict:
    """Check the candidates of one class in their order.

    Distances are root mean squares over pixels in [0, 1], in units of the median distance between nearest
    training images. Near-duplicates are looked for among the images that passed everything else, so the first of
    several alike ones is kept. Where `judge` is None or does not know, labels are not checked. Of an image that belongs
    to its class by a share only, no more than that share of the probability is asked.

    Args:
        candidates: synthetic images of one class, with provenance.
        train: training images of that class, one at least.
        config: the thresholds.
        judge: who has not seen the candidates' parents.
        already_kept: uint8 (m, c, h, w) of earlier rounds.
        reference: `Reference.from_images(train.images)`, where it is known already.
        real_probability: what a tenth of the class's real images get less than (`FilterConfig.least_probability`).
    """
    n = len(candidates)
    training = reference or Reference.from_images(train.images)
    reasons: list[Reason | None] = [None] * n
    probability = torch.full((n,), torch.nan, dtype=torch.float64)
    if config.blankness is not None:
        _mark(reasons, contrast(candidates.images) < config.blankness * training.contrast, "blank")
    if config.memorisation:
        rows = _passed(reasons)
        distance, _ = find_nearest(candidates.images[rows], train.images)
        _mark(reasons, distance.flatten() < config.memorisation * training.unit, "copy of a training image", rows)
    least = config.least_probability(real_probability)
    if least is not None and judge is not None:
        rows = _passed(reasons)
        remaining = candidates.take(rows)
        label_probabilities = torch.as_tensor(np.asarray(judge(remaining), dtype=np.float64))
        own = torch.arange(len(rows)), remaining.labels
        probability[rows] = label_probabilities[own]
        shares = remaining.label_shares()
        threshold = least if shares is None else least * shares[own].double()
        _mark(reasons, probability[rows] < threshold, "unlikely label", rows)
    if config.near_duplicates:
        rows = _passed(reasons)
        is_repeated = _alike(candidates.images[rows], already_kept, config.near_duplicates * training.unit)
        _mark(reasons, is_repeated, "near-duplicate", rows)
    keep = torch.tensor([reason is None for reason in reasons], dtype=torch.bool)
    return Verdict(keep, tuple(reasons), probability)


def _passed(reasons: list[Reason | None]) -> Tensor:
    return torch.tensor([i for i, reason in enumerate(reasons) if reason is None], dtype=torch.int64)


def _mark(reasons: list[Reason | None], failed: Tensor, reason: Reason, rows: Tensor | None = None) -> None:
    positions = failed.nonzero().flatten()
    for i in (positions if rows is None else rows[positions]).tolist():
        reasons[i] = reason


def _alike(images: Tensor, before: Tensor | None, threshold: float) -> Tensor:
    """Which images are nearer than `threshold` to one kept before or to an earlier one that is not alike itself."""
    is_repeated = torch.zeros(len(images), dtype=torch.bool)
    if before is not None and len(before) and len(images):
        is_repeated = find_nearest(images, before)[0].flatten() < threshold
    for start in range(0, len(images), 256):
        stop = min(start + 256, len(images))
        block = images[start:stop]
        distinct_images = images[:start][~is_repeated[:start]]
        if len(distinct_images):
            is_repeated[start:stop] |= find_nearest(block, distinct_images)[0].flatten() < threshold
        close = (pairwise(block, block) < threshold).numpy()
        flags = is_repeated[start:stop].numpy()
        for i in range(1, len(block)):  # greedy: whether one stays depends on those before it
            flags[i] |= bool((close[i, :i] & ~flags[:i]).any())
    return is_repeated
