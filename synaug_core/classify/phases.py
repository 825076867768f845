"""Pretraining on synthetic images and finishing on real ones: which images each step may draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synaug_core import seeds
from synaug_core.classify.sampling import IndexSampler
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet

__all__ = ["PhasedSampler", "pretraining_steps", "sampler_of"]


class PhasedSampler:
    """Draws from some of the images for a number of batches, and from others after that.

    Args:
        first: draws positions in `images[0]`.
        then: draws positions in `images[1]`.
        images: int64, the positions in the training images that each of the two draws from.
        batches: how many come from `first`.
    """

    def __init__(self, first: IndexSampler, then: IndexSampler, images: tuple[Tensor, Tensor], batches: int) -> None:
        self._samplers, self._images, self._batches = (first, then), images, batches
        self._drawn = 0

    def next(self) -> Tensor:
        """The next batch: int64 (batch,), on the device."""
        phase = int(self._drawn >= self._batches)
        self._drawn += 1
        return self._images[phase][self._samplers[phase].next()]

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"drawn": self._drawn, "phases": [sampler.state() for sampler in self._samplers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._drawn = state["drawn"]
        for sampler, its in zip(self._samplers, state["phases"], strict=True):
            sampler.restore(its)


def pretraining_steps(arm: ArmConfig, config: ClassifierConfig) -> int:
    """Steps before the real images alone are seen."""
    return round(arm.pretrain * config.steps)


def sampler_of(
    config: ClassifierConfig, arm: ArmConfig, train: ImageSet, seed: int, device: torch.device
) -> IndexSampler | PhasedSampler:
    """What draws an arm's batches; without pretraining, or without synthetic images, from all images all the time."""
    labels, steps = train.labels, pretraining_steps(arm, config)
    if not steps or not bool((made := train.is_synthetic()).any()):
        return IndexSampler(labels, config.batch_size, arm.sampling, seeds.stream(seed), device)
    lacking = [c for c in torch.unique(labels).tolist() if not bool((made & (labels == c)).any())]
    early = (made | torch.isin(labels, torch.tensor(lacking, dtype=labels.dtype))).nonzero().flatten()
    late = (~made).nonzero().flatten()
    first, then = (
        IndexSampler(labels[part], config.batch_size, arm.sampling, seeds.stream(seeds.derive(seed, name)), device)
        for name, part in (("pretraining", early), ("finishing", late))
    )
    return PhasedSampler(first, then, (early.to(device), late.to(device)), steps)
