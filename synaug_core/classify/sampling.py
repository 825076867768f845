"""Which training images make up the next batch, in one phase or in two: synthetic images first, then real ones; or as
they come first, then every class equally often."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from synaug_core import seeds
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet, Labelled

__all__ = ["IndexSampler", "PhasedSampler", "clean_batches", "first_phase_steps", "sampler_of"]

_DEFERRED = 0.8
"""Share of the steps after which `sampling: deferred` balances the classes."""
_MOST_CLEAN = 512
"""Images that batch normalisation's statistics are recomputed on: before each evaluation, so it has to be cheap."""


@dataclass(frozen=True)
class _Members:
    """A class's images, by position, and the share of its draws that are real ones."""

    real: Tensor
    synthetic: Tensor
    real_share: float

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)

    def draw(self, count: int, stream: torch.Generator) -> Tensor:
        """`count` positions in random order: each kind as many times through all of its images as it takes."""
        real_count = self.count_real(count)
        kinds = (_shuffled(self.real, real_count, stream), _shuffled(self.synthetic, count - real_count, stream))
        return torch.cat(kinds)[torch.randperm(count, generator=stream)]

    def count_real(self, count: int) -> int:
        """How many of `count` draws are real images."""
        if not len(self.synthetic) or not len(self.real):
            return count if len(self.real) else 0
        return min(count, math.ceil(self.real_share * count - _ROUNDING))


_ROUNDING = 1e-6


def _shuffled(members: Tensor, count: int, stream: torch.Generator) -> Tensor:
    """`count` of these: as many passes through all of them as it takes, each in random order."""
    passes = -(-count // len(members)) if count else 0
    orders = [torch.randperm(len(members), generator=stream) for _ in range(passes)]
    return members[torch.cat(orders)[:count]] if orders else members[:0]


class IndexSampler:
    """An endless sequence of index batches of one size, drawn from a stream of its own.

    `natural`: an epoch draws each class as often as it has images, all in random order, the next one starting within
    a batch. `balanced`: the classes that have images are dealt round by round in random order; an epoch draws each as
    often as the largest has images. Of a class with images of both kinds, `real_share` says how many of an epoch's
    draws are real ones (rounded up); of either kind all images come equally often, in random order without
    replacement.

    Args:
        labels: int64 (n,), n >= 1.
        batch: indices in a batch; it may exceed n.
        sampling: `natural` or `balanced`.
        stream: a CPU stream; the order is the same on every device.
        device: where the indices are wanted.
        synthetic: bool (n,), the images that were made; None: none of them.
        real_share: by label, in [0, 1]; None: every image of a class as often as any other.

    Raises:
        ValueError: no labels.
    """

    def __init__(
        self,
        labels: Tensor,
        batch: int,
        sampling: Literal["natural", "balanced"],
        stream: torch.Generator,
        device: torch.device | str = "cpu",
        *,
        synthetic: Tensor | None = None,
        real_share: Tensor | None = None,
    ) -> None:
        if not len(labels):
            raise ValueError("there is no image to draw from")
        self._batch, self._balanced, self._stream = batch, sampling == "balanced", stream
        self._device = torch.device(device)
        on_cpu = labels.cpu()
        is_synthetic = torch.zeros_like(on_cpu, dtype=torch.bool) if synthetic is None else synthetic.cpu()
        share = _real_shares(on_cpu, is_synthetic, least=0.0) if real_share is None else real_share
        self._members = [
            _Members(
                real=((on_cpu == c) & ~is_synthetic).nonzero().flatten(),
                synthetic=((on_cpu == c) & is_synthetic).nonzero().flatten(),
                real_share=float(share[c]),
            )
            for c in torch.unique(on_cpu).tolist()
        ]
        self._queue = torch.empty(0, dtype=torch.int64, device=self._device)
        self._next = 0

    @property
    def epoch_length(self) -> int:
        """Indices of one epoch."""
        sizes = [len(m) for m in self._members]
        return max(sizes) * len(sizes) if self._balanced else sum(sizes)

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
        images, rounds = sum(len(m) for m in self._members), max(len(m) for m in self._members)
        shares = torch.empty(images, dtype=torch.float64)
        for members in self._members:
            count = rounds if self._balanced else len(members)
            real_count = members.count_real(count)
            shares[members.real] = real_count / max(1, len(members.real)) / self.epoch_length
            shares[members.synthetic] = (count - real_count) / max(1, len(members.synthetic)) / self.epoch_length
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
            drawn = torch.cat([m.draw(len(m), self._stream) for m in self._members])
            return drawn[torch.randperm(len(drawn), generator=self._stream)]
        rounds = max(len(m) for m in self._members)
        table = torch.stack([m.draw(rounds, self._stream) for m in self._members], dim=1)
        order = torch.rand(table.shape, generator=self._stream).argsort(dim=1)
        return table.gather(1, order).flatten()


def _real_shares(labels: Tensor, synthetic: Tensor, *, least: float) -> Tensor:
    """By label, the share of real images where each comes equally often, or `least` where that is more."""
    real_counts = torch.bincount(labels[~synthetic], minlength=int(labels.max()) + 1).double()
    return (real_counts / torch.bincount(labels).clamp(min=1)).clamp(min=least)


class PhasedSampler:
    """Draws by one sampler for a number of batches, and by another after that.

    Args:
        first: draws positions in the training images.
        then: draws positions in `images`.
        images: int64, positions in the training images.
        batches: how many come from `first`.
    """

    def __init__(self, first: IndexSampler, then: IndexSampler, images: Tensor, batches: int) -> None:
        self._samplers, self._images, self._batches = (first, then), images, batches
        self._drawn = 0

    def next(self) -> Tensor:
        """The next batch: int64 (batch,), on the device."""
        first, then = self._samplers
        self._drawn += 1
        return first.next() if self._drawn <= self._batches else self._images[then.next()]

    def shares(self) -> Tensor:
        """Expected share of each image among those drawn in the last phase, float64 (n,), on the CPU; the sum is 1."""
        first, then = self._samplers
        shares = torch.zeros_like(first.shares())
        shares[self._images.cpu()] = then.shares()
        return shares

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {"drawn": self._drawn, "phases": [sampler.state() for sampler in self._samplers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._drawn = state["drawn"]
        for sampler, its in zip(self._samplers, state["phases"], strict=True):
            sampler.restore(its)


def first_phase_steps(arm: ArmConfig, config: ClassifierConfig) -> int:
    """Steps before the phase that the training ends with: of pretraining, or of natural draws; 0 with one phase."""
    steps = config.step_count
    return int(_DEFERRED * steps) if arm.sampling == "deferred" else round(arm.pretrain * steps)


def sampler_of(
    config: ClassifierConfig, arm: ArmConfig, train: Labelled, seed: int, device: torch.device
) -> IndexSampler | PhasedSampler:
    """What draws an arm's batches.

    Of each class at least `arm.real_share` of the draws are real images. With pretraining it is exactly that share
    in the first phase, the other draws being synthetic: a rare class of synthetic images alone beside others that
    have none would teach the artefacts of synthesis as that class. In the second phase all draws are real. Deferred
    balancing draws from all images in both phases.
    """
    labels, synthetic = train.labels, train.is_synthetic()
    both_kinds = bool(synthetic.any()) and not bool(synthetic.all())
    steps = first_phase_steps(arm, config)
    final_draws = _last_sampling(arm)

    def sampler(
        part: Tensor, its_seed: int, share: Tensor, draws: Literal["natural", "balanced"] = final_draws
    ) -> IndexSampler:
        stream = seeds.stream(its_seed)
        return IndexSampler(
            *(labels[part], config.batch_size, draws, stream, device),
            synthetic=synthetic[part],
            real_share=share,
        )

    everything = torch.arange(len(labels))
    least = _real_shares(labels, synthetic, least=arm.real_share)
    if arm.sampling == "deferred":
        first = sampler(everything, seeds.derive(seed, "natural"), least, "natural")
        then = sampler(everything, seeds.derive(seed, "balanced"), least)
        return PhasedSampler(first, then, everything.to(device), steps)
    if not steps or not both_kinds:
        return sampler(everything, seed, least)
    real = (~synthetic).nonzero().flatten()
    exact_share = torch.full((len(train.classes),), arm.real_share)
    first = sampler(everything, seeds.derive(seed, "pretraining"), exact_share)
    then = sampler(real, seeds.derive(seed, "finishing"), torch.ones(len(train.classes)))
    return PhasedSampler(first, then, real.to(device), steps)


def _last_sampling(arm: ArmConfig) -> Literal["natural", "balanced"]:
    return "natural" if arm.sampling == "natural" else "balanced"


def clean_batches(
    config: ClassifierConfig, arm: ArmConfig, train: ImageSet, seed: int, device: torch.device
) -> tuple[Tensor, ...]:
    """Batches of real images alone whose classes come as often as in the arm's draws, as indices int64 (batch,): one
    epoch, at most about 512 images. With two phases the arm's draws are those of the second. A class
    without real images is there with its synthetic ones."""
    is_real = ~train.is_synthetic()
    finishing = arm.pretrain > 0 and bool(is_real.any())
    images = is_real.nonzero().flatten() if finishing else torch.arange(len(train))
    sampler = IndexSampler(
        *(train.labels[images], config.batch_size, _last_sampling(arm), seeds.stream(seed)),
        synthetic=~is_real[images],
        real_share=torch.ones(len(train.classes)),
    )
    count = max(1, min(-(-sampler.epoch_length // config.batch_size), _MOST_CLEAN // config.batch_size))
    return tuple(images[sampler.next()].to(device) for _ in range(count))
