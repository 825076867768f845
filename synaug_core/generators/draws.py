"""What is random in a training: which images are held out, the batches and the posterior noise.

Everything of a block of steps is drawn from a seed that names the class and the block, so that a training
taken up at a block goes on with the same numbers, and one class never moves another's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.seeds import derive, stream

__all__ = ["Draws", "block", "divide", "examination"]

_FEWEST_TO_DIVIDE = 10
"""Below this many images of a class none is held out."""
_MOST_HELD_OUT = 256
"""Most held-out images that one evaluation looks at: it must stay cheap beside the steps between two of them."""
_EXAMINED_SAMPLES = 32
"""Posterior samples of an evaluation, at least (few images are looked at several times); of images trained on,
whose loss decides nothing, no more than these."""


@dataclass(frozen=True)
class Draws:
    """The numbers of a few steps of one class.

    Attributes:
        rows: positions of images, int64 (steps, batch).
        noise: standard normal, float32 (steps, batch, latent).
        mirrored: which images are flipped left to right, bool (steps, batch); None for none.
    """

    rows: Tensor
    noise: Tensor
    mirrored: Tensor | None = None

    def to(self, device: torch.device) -> Draws:
        """The same numbers on a device."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Draws(self.rows.to(device), self.noise.to(device), mirrored)


def divide(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions 0..n-1 divided into those to train on and those held out, each sorted."""
    held_out = max(1, round(share * n)) if share > 0 and n >= _FEWEST_TO_DIVIDE else 0
    order = torch.randperm(n, generator=stream(derive(seed, "held out")))
    return order[held_out:].sort().values, order[:held_out].sort().values


def block(rows: Tensor, seed: int, number: int, *, steps: int, batch: int, latent: int, mirror: bool) -> Draws:
    """Batches that go through all of `rows` in a random order before any comes again, and their noise."""
    random = stream(derive(seed, "block", number))
    rounds = -(-steps * batch // len(rows))
    order = torch.rand(rounds, len(rows), generator=random).argsort(dim=1).flatten()[: steps * batch]
    noise = torch.randn(steps, batch, latent, generator=random)
    mirrored = torch.rand(steps, batch, generator=random) < 0.5 if mirror else None
    return Draws(rows[order].view(steps, batch), noise, mirrored)


def examination(rows: Tensor, held_out: Tensor, seed: int, latent: int) -> Draws:
    """One batch of the held-out images, or of some trained on where there are none; the same at every evaluation."""
    random = stream(derive(seed, "examination"))
    chosen, most = (held_out, _MOST_HELD_OUT) if len(held_out) else (rows, _EXAMINED_SAMPLES)
    some = chosen[torch.randperm(len(chosen), generator=random)[:most]]
    some = some.repeat(-(-_EXAMINED_SAMPLES // len(some)))
    return Draws(some[None], torch.randn(1, len(some), latent, generator=random))
