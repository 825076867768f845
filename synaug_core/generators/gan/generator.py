"""One GAN for all classes as a generator."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import randoms, storage
from synaug_core.generators.base import Generator
from synaug_core.generators.exact import exact
from synaug_core.generators.fingerprint import fingerprint
from synaug_core.generators.fit_report import FitReport
from synaug_core.generators.gan.collapse import note
from synaug_core.generators.gan.networks import Networks
from synaug_core.generators.gan.sampling import sample
from synaug_core.generators.gan.training import ClassTask, Course, train
from synaug_core.generators.pixels import to_uint8
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights, with_weights
from synaug_core.nets.gan import ImageGenerator
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive

__all__ = ["ConditionalGAN"]


class ConditionalGAN(Generator):
    """A class-conditional GAN; the classes' order is that of their sorted names."""

    kind: ClassVar[str] = "gan"
    joint: ClassVar[bool] = True

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._generator: ImageGenerator | None = None

    def fit(
        self,
        images: ImageSet,
        *,
        seed: int,
        device: torch.device,
        progress: Progress = silent,
        checkpoint: Checkpoint | None = None,
        deadline: float | None = None,
    ) -> Self:
        """See `Generator.fit`; images of 8 px or more. A class's result depends on the other classes too."""
        self._check_size()
        parts = self._parts(images)
        with exact(device):
            course = train(
                Networks(
                    Pool(torch.cat(list(parts.values())), device),
                    classes=len(parts),
                    channels=self.channels,
                    size=self.size,
                    config=self.config,
                    seed=seed,
                ),
                tasks := _tasks(parts, seed),
                self.config,
                seed=seed,
                fingerprint=fingerprint(parts, self.config, seed, device),
                progress=progress,
                checkpoint=checkpoint or Checkpoint(None),
                deadline=deadline,
            )
        self._device = device
        self._take(course.weights)
        self.reports = {task.name: self._report(task, course) for task in tasks}
        return self

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Images of draws from N(0, I).

        Raises:
            ConfigError: the class was not fitted here.
        """
        generator = self._fitted(self._generator, class_name)
        z = randoms.normal(n, self.config.latent_dim, derive(seed, "sample", class_name))
        return to_uint8(sample(generator, z.to(self._device), sorted(self.classes).index(class_name)))

    def save(self, folder: Path) -> None:
        """Write the averaged generator: equal trainings are equal bytes."""
        spec = self._spec()
        storage.write(folder, self.kind, spec, self._fitted(self._generator, self.classes[0]).state_dict())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        loaded = cls._of_spec(spec, device)
        loaded._take(weights)
        return loaded

    def _network(self) -> ImageGenerator:
        return ImageGenerator(len(self.classes), self.channels, self.size, self.config.width, self.config.latent_dim)

    def _take(self, weights: Weights) -> None:
        self._generator = with_weights(self._network, weights, self._device)

    def _report(self, task: ClassTask, course: Course) -> FitReport:
        measures = course.measures.get(task.name, {})
        notes = [note(task.name, len(task.rows), measures)]
        if course.status == "diverged":
            notes.insert(
                0, f"the training diverged by step {course.steps}: the weights of step {course.best_step} are kept"
            )
        own = {"diversity": course.diversity[task.name]} if task.name in course.diversity else {}
        return FitReport(
            class_name=task.name,
            images=len(task.rows),
            held_out=0,
            steps=course.steps,
            best_step=course.best_step,
            status=course.status or "finished",
            losses={name: tuple(points) for name, points in (course.losses | own).items()},
            measures=measures,
            notes=tuple(text for text in notes if text is not None),
            seconds=course.seconds,
        )


def _tasks(parts: dict[str, Tensor], seed: int) -> list[ClassTask]:
    """A task for each class; rows count through the classes' images put one after the other."""
    tasks, first = [], 0
    for name, images in parts.items():
        rows = torch.arange(first, first + len(images))
        tasks.append(ClassTask(name, images, rows, derive(seed, "class", name)))
        first += len(images)
    return tasks
