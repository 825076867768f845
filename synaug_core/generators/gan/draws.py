"""What is random in a training, a block of steps at a time, drawn from seeds that name the block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.generators.gan.augmentation import CHANCES
from synaug_core.seeds import derive, stream

__all__ = ["Draws", "block"]


@dataclass(frozen=True)
class Draws:
    """The numbers of a few steps.

    Attributes:
        labels: classes of real and of made images, int64 (steps, batch).
        rows: positions of the real images, int64 (steps, batch).
        mirrored: which real images are shown mirrored, bool (steps, batch); None for none.
        latents: for the discriminator's step and the generator's, float32 (steps, 2, batch, latent).
        chances: augmentation of the real images, of the made ones of the discriminator's step and of those of the
            generator's, float32 (steps, 3, batch, CHANCES).
    """

    labels: Tensor
    rows: Tensor
    mirrored: Tensor | None
    latents: Tensor
    chances: Tensor

    def to(self, device: torch.device) -> Draws:
        """The same numbers on a device."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Draws(
            self.labels.to(device),
            self.rows.to(device),
            mirrored,
            self.latents.to(device),
            self.chances.to(device),
        )


def block(
    rows: Sequence[Tensor],
    seeds: Sequence[int],
    seed: int,
    first: int,
    *,
    steps: int,
    batch: int,
    latent: int,
    mirror: bool,
) -> Draws:
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
        mirror: whether half of the real images are mirrored.
    """
    slots = (torch.arange(steps * batch) + first * batch) % len(rows)
    taken = torch.empty_like(slots)
    for label, (own, own_seed) in enumerate(zip(rows, seeds, strict=True)):
        where = (slots == label).nonzero().flatten()
        rounds = -(-len(where) // len(own))
        order = torch.rand(rounds, len(own), generator=stream(derive(own_seed, "block", first))).argsort(dim=1)
        taken[where] = own[order.flatten()[: len(where)]]
    random = stream(derive(seed, "block", first))
    return Draws(
        slots.view(steps, batch),
        taken.view(steps, batch),
        torch.rand(steps, batch, generator=random) < 0.5 if mirror else None,
        torch.randn(steps, 2, batch, latent, generator=random),
        torch.rand(steps, 3, batch, CHANCES, generator=random),
    )
