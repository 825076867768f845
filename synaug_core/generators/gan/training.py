"""The training: blocks of steps, an evaluation after each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.generators import randoms
from synaug_core.generators.fit_report import Status
from synaug_core.generators.gan import draws
from synaug_core.generators.gan.collapse import EXAMINED, measure
from synaug_core.generators.gan.networks import Networks
from synaug_core.generators.gan.sampling import sample
from synaug_core.generators.pixels import to_uint8
from synaug_core.generators.training_loop import Clock, OneCourse, go
from synaug_core.generators.weights import Weights
from synaug_core.progress import Progress
from synaug_core.seeds import derive, stream

__all__ = ["ClassTask", "Course", "train"]


@dataclass(frozen=True)
class ClassTask:
    """One class.

    Attributes:
        name: its name.
        images: uint8 (n, channels, size, size).
        rows: their positions in the pool, int64.
        seed: where its own randomness comes from.
    """

    name: str
    images: Tensor
    rows: Tensor
    seed: int

    def examined(self) -> Tensor:
        """The images that samples are compared with, the same ones every time."""
        order = torch.randperm(len(self.images), generator=stream(derive(self.seed, "examined")))
        return self.images[order[:EXAMINED]]


@dataclass
class Course:
    """How far the training has come.

    Attributes:
        status: None while it goes on.
        steps: done.
        best_step: steps of the weights kept.
        losses: curves of the whole model: name to (step, value).
        diversity: class name to its curve.
        measures: class name to those of the weights kept.
        weights: those kept: the averaged ones of the last evaluation that was all finite.
        seconds: wall time.
    """

    status: Status | None = None
    steps: int = 0
    best_step: int = 0
    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    diversity: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: Weights = field(default_factory=dict)
    seconds: float = 0.0


class _Run(OneCourse[Course]):
    """One training under way."""

    def __init__(self, networks: Networks, tasks: Sequence[ClassTask], config: GeneratorConfig, seed: int) -> None:
        self.networks, self.tasks, self.config, self.seed = networks, tasks, config, seed
        self.course = Course(weights=networks.averaged())
        self._examined = [task.examined() for task in tasks]

    def begin(self) -> None:
        """Look, so that there are measures even where the first block diverges."""
        self.look()

    def state(self) -> dict[str, Any]:
        return {"course": asdict(self.course), "networks": self.networks.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course = Course(**state["course"])
        self.networks.load_state(state["networks"])

    def look(self) -> bool:
        """Measure the averaged generator and keep its weights; False where it makes no finite images."""
        measures: dict[str, dict[str, float]] = {}
        for label, (task, real) in enumerate(zip(self.tasks, self._examined, strict=True)):
            z = randoms.normal(len(real), self.config.latent_dim, derive(task.seed, "evaluation"))
            made = sample(self.networks.average, z.to(self.networks.pool.device), label)
            if not bool(torch.isfinite(made).all()):
                return False
            measures[task.name] = measure(real, to_uint8(made))
        course = self.course
        course.measures, course.weights, course.best_step = measures, self.networks.averaged(), course.steps
        for name, found in measures.items():
            if "diversity" in found:
                course.diversity.setdefault(name, []).append((course.steps, found["diversity"]))
        return True

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        course, config = self.course, self.config
        steps = min(config.evaluate_every, config.steps - course.steps)
        numbers = draws.block(
            [task.rows for task in self.tasks],
            [task.seed for task in self.tasks],
            self.seed,
            course.steps,
            steps=steps,
            batch=config.batch_size,
            latent=config.latent_dim,
            mirror=config.augment == "mirror",
        ).to(self.networks.pool.device)
        found = self.networks.train(numbers, course.steps).tolist()
        course.steps += steps
        if not all(math.isfinite(value) for value in found) or not self.look():
            course.status = "diverged"
            return {}
        values = dict(zip(("discriminator_loss", "generator_loss", "gradient_penalty"), found, strict=True))
        if not config.gan.r1:
            del values["gradient_penalty"]
        for name, value in values.items():
            course.losses.setdefault(name, []).append((course.steps, value))
        if course.steps >= config.steps:
            course.status = "finished"
        return values


def train(
    networks: Networks,
    tasks: Sequence[ClassTask],
    config: GeneratorConfig,
    *,
    seed: int,
    fingerprint: str,
    progress: Progress,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> Course:
    """Train to the end, from the checkpoint where there is one of the same `fingerprint`.

    Args:
        networks: freshly initialised.
        tasks: the classes; a class's number is its place here.
        config: steps and so on.
        seed: of what the classes share.
        fingerprint: what the training depends on.
        progress: called after each block.
        checkpoint: offered the state after each block.
        deadline: seconds from now.

    Raises:
        DeadlineError: the time was up.
    """
    clock = Clock(deadline)
    run = _Run(networks, tasks, config, seed)
    go(run, clock, steps=config.steps, fingerprint=fingerprint, progress=progress, checkpoint=checkpoint)
    run.course.seconds = clock.seconds
    return run.course
