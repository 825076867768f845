"""What is random in a training. A block's numbers come from a seed that names the block, a step's noise from one that
names the step, so that a training taken up at a block goes on with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.generators.diffusion import augmentation
from synaug_core.seeds import derive, stream

__all__ = ["Draws", "block", "noise"]


@dataclass(frozen=True)
class Draws:
    """The numbers of a few steps, each (steps, batch) or (steps, batch, length).

    Attributes:
        rows: positions of images in the pool, int64.
        labels: their classes, int64.
        hidden: whose class is hidden from the network, bool.
        mirrored: which are flipped left to right, bool.
        done: the augmentation, float32 (steps, batch, augmentation.LENGTH).
        levels: levels of noise, int64.
    """

    rows: Tensor
    labels: Tensor
    hidden: Tensor
    mirrored: Tensor
    done: Tensor
    levels: Tensor

    def to(self, device: torch.device) -> Draws:
        """The same numbers on a device."""
        return Draws(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def block(
    counts: Sequence[int],
    seed: int,
    number: int,
    *,
    steps: int,
    batch: int,
    label_dropout: float,
    mirror: bool,
    noise_levels: int,
) -> Draws:
    """Batches balanced over the classes; a class's images are gone through in a random order before any comes again.

    Args:
        counts: images of each class; the pool holds them class after class.
        seed: of the training.
        number: of the block.
        steps: batches.
        batch: images of a batch.
        label_dropout: share of images whose class is hidden.
        mirror: flip half of the images left to right.
        noise_levels: levels of noise. A batch spreads over them evenly (Kingma et al., arXiv 2107.00630, appendix
            I.1), which makes the loss of a step vary less than independent levels do.
    """
    random = stream(derive(seed, "block", number))
    rotation = torch.randint(len(counts), (steps, 1), generator=random)
    labels = (torch.arange(batch) + rotation) % len(counts)
    rows = torch.empty_like(labels)
    first = 0
    for label, count in enumerate(counts):
        places = labels == label
        wanted = int(places.sum())
        order = torch.rand(max(1, -(-wanted // count)), count, generator=random).argsort(dim=1).flatten()
        rows[places] = first + order[:wanted]
        first += count
    hidden = torch.rand(steps, batch, generator=random) < label_dropout
    mirrored = (torch.rand(steps, batch, generator=random) < 0.5) & mirror
    done = augmentation.draw(steps * batch, random).view(steps, batch, augmentation.LENGTH)
    strata = torch.rand(steps, batch, generator=random).argsort(dim=1)  # which class gets which level is left to chance
    levels = (strata + torch.rand(steps, 1, generator=random, dtype=torch.float64)) * (noise_levels / batch)
    return Draws(rows, labels, hidden, mirrored, done, levels.long().clamp_(max=noise_levels - 1))


def noise(like: Tensor, seed: int, step: int) -> Tensor:
    """Standard normal noise of a step, drawn on the device of `like` and of its shape."""
    random = stream(derive(seed, "noise", step), like.device)
    return torch.randn(like.shape, generator=random, device=like.device)
