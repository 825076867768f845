"""What every training shares: the loop with its checkpoints and deadline, the optimiser, the average of the weights."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from synaug_core import digests, errors
from synaug_core.config import GeneratorConfig
from synaug_core.generators import base, fit_report

__all__ = [
    "Clock",
    "ModelRun",
    "Run",
    "digest_training",
    "ema_decay_at",
    "make_optimizer",
    "run_training",
    "update_ema",
]

_LAYOUT = 3
"""Of the states; one more where the keys of any kind's change, so that no state of another layout is taken up."""


class Clock:
    """The time since it was created. `deadline`: seconds after which a training gives up, None for never."""

    def __init__(self, deadline: float | None = None) -> None:
        self._start, self._deadline = time.monotonic(), deadline

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def check(self, done: int, steps: int) -> None:
        """Check the deadline; `done` of `steps` is for the message.

        Raises:
            DeadlineError: the time is up.
        """
        if self._deadline is not None and self.seconds > self._deadline:
            raise errors.DeadlineError(f"the generator took longer than {self._deadline:g} s ({done} of {steps} steps)")


class Run(Protocol):
    """A training under way."""

    @property
    def done(self) -> int:
        """Optimiser steps done."""

    @property
    def is_finished(self) -> bool:
        """Whether the training is complete."""

    def begin(self) -> None:
        """Prepare the first block of a training that continues no checkpoint."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on: nested dicts and lists of tensors, numbers and texts."""

    def advance(self) -> dict[str, float]:
        """Train one block of steps and evaluate; returns values for the progress display."""


class _Course(Protocol):
    status: fit_report.Status | None
    steps: int


_C = TypeVar("_C", bound=_Course)


class ModelRun(Generic[_C]):
    """What a `Run` of one model for all classes knows by its course."""

    course: _C

    @property
    def done(self) -> int:
        """Optimiser steps done."""
        return self.course.steps

    @property
    def is_finished(self) -> bool:
        """Whether the training is complete."""
        return self.course.status is not None

    def begin(self) -> None:
        """Nothing comes before the first block."""


def run_training(run: Run, clock: Clock, job: base.FitJob, *, steps: int, fingerprint: str) -> None:
    """Train to the end, from the checkpoint where there is one of the same `fingerprint`.

    Args:
        run: the training, at its start.
        clock: how long the training may take; checked before each block.
        job: its `progress` is called and its `checkpoint` offered the state after each block.
        steps: to report; a training that ends earlier has done them all.
        fingerprint: digest of what the training depends on, see `digest_training`.

    Raises:
        DeadlineError: the time was up.
    """
    state = job.checkpoint.load()
    if state is not None and state.get("fingerprint") == fingerprint:
        run.restore(state["run"])
    else:
        run.begin()
    while not run.is_finished:
        clock.check(run.done, steps)
        values = run.advance()
        job.checkpoint.offer(lambda: {"fingerprint": fingerprint, "run": run.state()})
        job.progress(steps if run.is_finished else run.done, steps, **values)


def digest_training(class_images: Mapping[str, Tensor], config: GeneratorConfig, job: base.FitJob) -> str:
    """Digest of what a training's state depends on, so that no other training takes it up.

    Args:
        class_images: the training images of each class, uint8, on the CPU.
        config: of the generator.
        job: its seed and device count.
    """
    images = {name: digests.of_bytes(pixels.contiguous().numpy().tobytes()) for name, pixels in class_images.items()}
    parameters = config.model_dump(mode="json")
    return digests.of_value(
        {"layout": _LAYOUT, "images": images, "config": parameters, "seed": job.seed, "device": job.device.type}
    )


def make_optimizer(
    parameters: list[Tensor], learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Adam, fused: one kernel for all parameters, on the CPU too."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=True)


def ema_decay_at(step: int, decay: float, *, delay: int = 10) -> float:
    """The decay of the weights' moving average at a step counted from 1: min(decay, step / (delay + step)).

    It rises, so that the first weights, which know nothing, are soon forgotten, however short the training.
    """
    return min(decay, step / (delay + step))


@torch.no_grad()
def update_ema(averages: Sequence[Tensor], weights: Sequence[Tensor], decay: float) -> None:
    """Averages = decay * averages + (1 - decay) * weights, in place (Yazici et al., 2019)."""
    torch._foreach_lerp_(list(averages), list(weights), 1 - decay)
