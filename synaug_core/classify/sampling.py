"""Which training images make up the next batch, in one phase or in two: synthetic images first, then real ones."""

from typing import Any

import torch
from torch import Tensor

from synaug_core import seeds
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.config.arms import Sampling
from synaug_core.data.imageset import ImageSet

__all__ = ["IndexSampler", "PhasedSampler", "pretraining_steps", "sampler_of"]


class IndexSampler:
    """An endless sequence of index batches of one size, drawn from a stream of its own.

    `natural`: epochs in random order without replacement, the next one starting within a batch. `balanced`: the
    classes that have images are dealt round by round in random order, each class going through its own images in
    random order without replacement; an epoch shows each image of the largest class once.

    Args:
        labels: int64 (n,), n >= 1.
        batch: indices in a batch; it may exceed n.
        sampling: `natural` or `balanced`.
        stream: a CPU stream; the order is the same on every device.
        device: where the indices are wanted.

    Raises:
        ValueError: no labels.
    """

    def __init__(
        self,
        labels: Tensor,
        batch: int,
        sampling: Sampling,
        stream: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        if not len(labels):
            raise ValueError("there is no image to draw from")
        self._batch, self._balanced, self._stream = batch, sampling == "balanced", stream
        self._device = torch.device(device)
        on_cpu = labels.cpu()
        self._members = [(on_cpu == c).nonzero().flatten() for c in torch.unique(on_cpu).tolist()]
        self._images = len(on_cpu)
        self._queue = torch.empty(0, dtype=torch.int64, device=self._device)
        self._next = 0

    def next(self) -> Tensor:
        """The next batch: int64 (batch,), on the device."""
        while len(self._queue) - self._next < self._batch:
            fresh = self._epoch().to(self._device)
            self._queue, self._next = torch.cat([self._queue[self._next :], fresh]), 0
        batch = self._queue[self._next : self._next + self._batch]
        self._next += self._batch
        return batch

    def shares(self) -> Tensor:
        """Expected share of each image among the images drawn, float64 (n,), on the CPU; the sum is 1."""
        parts = len(self._members) if self._balanced else 1
        shares = torch.empty(self._images, dtype=torch.float64)
        for members in self._members:
            shares[members] = 1 / (parts * (len(members) if self._balanced else self._images))
        return shares

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"queue": self._queue[self._next :].cpu().clone(), "stream": self._stream.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._queue, self._next = state["queue"].to(self._device), 0
        self._stream.set_state(state["stream"])

    def _epoch(self) -> Tensor:
        if not self._balanced:
            return torch.randperm(self._images, generator=self._stream)
        rounds = max(len(m) for m in self._members)
        columns = [self._shuffled(m, rounds) for m in self._members]
        table = torch.stack(columns, dim=1)
        order = torch.rand(table.shape, generator=self._stream).argsort(dim=1)
        return table.gather(1, order).flatten()

    def _shuffled(self, members: Tensor, count: int) -> Tensor:
        """`count` of a class's images: as many passes through all of them as it takes."""
        passes = -(-count // len(members))
        orders = [torch.randperm(len(members), generator=self._stream) for _ in range(passes)]
        return members[torch.cat(orders)[:count]]


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

    def shares(self) -> Tensor:
        """Expected share of each image among those drawn in the last phase, float64 (n,), on the CPU; the sum is 1."""
        positions = [part.cpu() for part in self._images]
        shares = torch.zeros(1 + int(torch.cat(positions).max()), dtype=torch.float64)
        shares[positions[-1]] = self._samplers[-1].shares()
        return shares

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
    if not steps or not bool((synthetic := train.is_synthetic()).any()):
        return IndexSampler(labels, config.batch_size, arm.sampling, seeds.stream(seed), device)
    lacking = [c for c in torch.unique(labels).tolist() if not bool((synthetic & (labels == c)).any())]
    early = (synthetic | torch.isin(labels, torch.tensor(lacking, dtype=labels.dtype))).nonzero().flatten()
    late = (~synthetic).nonzero().flatten()
    first, then = (
        IndexSampler(labels[part], config.batch_size, arm.sampling, seeds.stream(seeds.derive(seed, name)), device)
        for name, part in (("pretraining", early), ("finishing", late))
    )
    return PhasedSampler(first, then, (early.to(device), late.to(device)), steps)
