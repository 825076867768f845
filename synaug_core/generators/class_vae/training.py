"""The training of a group of classes: blocks of steps, an evaluation after each, an early stop for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.generators import draws
from synaug_core.generators.class_vae.executor import Executor
from synaug_core.generators.course import Course
from synaug_core.generators.elbo import beta_at, bounded, negative_log_likelihood
from synaug_core.generators.fit_report import CurvePoint
from synaug_core.generators.training_loop import Clock, go
from synaug_core.progress import Progress

__all__ = ["ClassTask", "train"]


@dataclass(frozen=True)
class ClassTask:
    """One class.

    Attributes:
        name: its name.
        rows: positions in the pool of the images trained on, int64.
        held_out: those of the images held out; may be empty.
        seed: where all its randomness comes from.
        centre: mean of the images trained on, float32 (channels, size, size) in [0, 1].
        spread: mean squared difference of a pixel from the centre: the first variance.
    """

    name: str
    rows: Tensor
    held_out: Tensor
    seed: int
    centre: Tensor
    spread: float


class _Run:
    """One training under way. The weights of a class's course are there once the class is through."""

    def __init__(self, executor: Executor, tasks: Sequence[ClassTask], config: GeneratorConfig, clock: Clock) -> None:
        self.executor, self.clock = executor, clock
        self.tasks = {task.name: task for task in tasks}
        self.config = config
        self.warmup = round(config.vae.warmup * config.steps)
        self.courses = {task.name: Course() for task in tasks}
        self.done = 0
        self._exams = {
            t.name: draws.examination(t.rows, t.held_out, t.seed, config.latent_dim).to(executor.pool.device)
            for t in tasks
        }

    @property
    def active(self) -> list[str]:
        return [name for name, course in self.courses.items() if course.status is None]

    @property
    def ended(self) -> bool:
        return not self.active

    def restore(self, state: Mapping[str, Any]) -> None:
        self.done = int(state["done"])
        self.courses = {name: Course.from_state(state["courses"][name]) for name in self.courses}
        self.executor.load_state(state["executor"])

    def state(self) -> dict[str, Any]:
        courses = {name: course.state() for name, course in self.courses.items()}
        return {"done": self.done, "courses": courses, "executor": self.executor.state()}

    def begin(self) -> None:
        """Set the first variances."""
        fixed = self.config.vae.variance
        self.executor.set_variances(
            {n: bounded(t.spread) if fixed == "learned" else float(fixed) for n, t in self.tasks.items()}
        )

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        first, last = self.done, min(self.done + self.config.evaluate_every, self.config.steps)
        betas = [beta_at(s + 1, self.config.vae.beta, self.warmup) for s in range(first, last)]
        names = self.active
        exams = {name: self._exams[name] for name in names}
        means = self.executor.train({name: self._block(name, last - first) for name in names}, betas)
        looked = torch.cat((means, self.executor.examine(exams)), dim=1).tolist()
        self.done = last
        better = [name for name, row in zip(names, looked, strict=True) if self._judge(name, row, betas[-1])]
        self.executor.keep(better)
        self._retire()
        losses = [p.curves[-1].loss / self.executor.pixels for n in names if (p := self.courses[n]).curves]
        return {"training": float(len(self.active))} | ({"loss": sum(losses) / len(losses)} if losses else {})

    def _retire(self) -> None:
        """Take the classes that are through out of the executor."""
        for name, course in self.courses.items():
            if course.status is not None and not course.weights:
                course.weights = self.executor.drop(name)
                course.seconds = self.clock.seconds

    def _block(self, name: str, steps: int) -> draws.Draws:
        task = self.tasks[name]
        return draws.block(
            task.rows,
            task.seed,
            self.done,
            steps=steps,
            batch=min(self.config.batch_size, len(task.rows)),
            latent=self.config.latent_dim,
            mirror=self.config.augment == "mirror",
        ).to(self.executor.pool.device)

    def _judge(self, name: str, row: Sequence[float], beta: float) -> bool:
        """Write down an evaluation; True where the class's present weights are worth keeping.

        A learned variance is the mean squared error of the examined images, the value at which their
        likelihood is greatest (Rybkin et al., 2021). Taken from images held out it cannot shrink with what
        the model knows by heart; taken from those trained on it does, and lets the KL term lose its hold.
        """
        course, task = self.courses[name], self.tasks[name]
        if not all(math.isfinite(value) for value in row):
            course.status, course.steps = "diverged", self.done
            return False
        loss, reconstruction, kl, error, kl_examined = row
        pixels = self.executor.pixels
        variance = bounded(error / pixels) if self.config.vae.variance == "learned" else self.config.vae.variance
        self.executor.set_variances({name: variance})
        exact = torch.tensor((error, variance), dtype=torch.float64)
        examined = float(negative_log_likelihood(exact[0], exact[1], pixels)) + self.config.vae.beta * kl_examined
        held_out = bool(len(task.held_out))
        point = CurvePoint(
            step=self.done,
            beta=beta,
            loss=loss,
            reconstruction=reconstruction,
            kl=kl,
            held_out_loss=examined if held_out else None,
            held_out_error=error / pixels if held_out else None,
            variance=variance,
        )
        # nothing is judged before the end of the warm-up, when beta is whole
        return course.judge(point, examined, self.config, judged=held_out and self.done >= self.warmup)


def train(
    executor: Executor,
    tasks: Sequence[ClassTask],
    config: GeneratorConfig,
    *,
    fingerprint: str,
    progress: Progress,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> dict[str, Course]:
    """Train every class to its end, from the checkpoint where there is one of the same `fingerprint`.

    Args:
        executor: holds the freshly initialised models of `tasks`.
        tasks: the classes.
        config: steps, warm-up, patience and so on.
        fingerprint: what the training depends on.
        progress: called after each block.
        checkpoint: offered the state after each block.
        deadline: seconds from now.

    Raises:
        DeadlineError: the time was up.
    """
    clock = Clock(deadline)
    run = _Run(executor, tasks, config, clock)
    go(run, clock, steps=config.steps, fingerprint=fingerprint, progress=progress, checkpoint=checkpoint)
    return run.courses
