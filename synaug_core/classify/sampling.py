"""Which training images make up the next batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synaug_core.config.arms import Sampling

__all__ = ["IndexSampler"]


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
        here = labels.cpu()
        self._members = [(here == c).nonzero().flatten() for c in torch.unique(here).tolist()]
        self._images = len(here)
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
