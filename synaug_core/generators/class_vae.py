"""Class-specific VAEs (De La Fuente et al., arXiv 2409.10286: one VAE per class, beta = 1).

From top to bottom: the generator, the training of a group of classes, and the two ways to train many small models side
by side. The network is in `synaug_core/nets/vae.py`, the loss in `elbo.py`.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import autoencoding, base, elbo, fit_report, randoms, storage, training_loop
from synaug_core.generators.pixels import ImagePool, deterministic_kernels, in_chunks, to_uint8
from synaug_core.nets.vae import ConvVAE, Decoder
from synaug_core.seeds import derive, seeded_init

__all__ = ["ClassVAE", "LoopExecutor", "StackExecutor", "StacksExecutor", "make_tasks", "start_model"]

_SHARE_OF_FREE = 0.5
"""Of the free memory of a device, for the stack: what a class takes is estimated."""


class ClassVAE(base.LatentGenerator):
    """One convolutional VAE for each class."""

    kind: ClassVar[str] = "vae"

    def __init__(self, config: GeneratorConfig, classes: tuple[str, ...], channels: int, size: int) -> None:
        super().__init__(config, classes, channels, size)
        self._models: dict[str, ConvVAE] = {}
        self._decoders: dict[str, Decoder] = {}

    def fit(self, images: ImageSet, job: base.FitJob) -> Self:
        """See `Generator.fit`; images of 8 px or more."""
        clock = training_loop.Clock(job.deadline)
        self._check_size()
        class_images = self._class_images(images)
        tasks = make_tasks(class_images, self.config, job.seed)
        models = {part.name: start_model(part, self.config) for task in tasks for part in task.models}
        with deterministic_kernels(job.device):
            executor = _make_executor(
                ImagePool(torch.cat(list(class_images.values())), job.device, self.config.augment), models, self.config
            )
            run = _Run(executor, tasks, self.config, clock)
            fingerprint = training_loop.digest_training(class_images, self.config, job)
            training_loop.run_training(run, clock, job, steps=self.config.steps, fingerprint=fingerprint)
        self._device, self._models, self._decoders = job.device, {}, {}
        for name, course in run.courses.items():
            self._load_weights(name, course.weights)
        self._keep_posteriors(class_images)
        self.reports = {
            task.name: self._report(task, class_images[task.name], run.courses[task.name]) for task in tasks
        }
        return self

    def encode(self, images: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of uint8 images, on the generator's device."""
        return autoencoding.encode_posteriors(self.model(class_name).encoder, images, self._device)

    def decode(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, on the generator's device."""
        self.model(class_name)
        with torch.no_grad(), deterministic_kernels(self._device):
            return in_chunks(z.to(self._device, torch.float32), self._decoders[class_name])

    def decode_with_gradient(self, z: Tensor, class_name: str) -> Tensor:
        """Images in [0, 1] of latent vectors, differentiable."""
        images: Tensor = self.model(class_name).decoder(z)
        return images

    def sample(self, n: int, class_name: str, *, seed: int) -> Tensor:
        """Decoded draws from N(0, I)."""
        z = randoms.normal(n, self.config.latent_dim, derive(seed, "sample", class_name))
        return to_uint8(self.decode(z, class_name))

    def save(self, folder: Path) -> None:
        """Write the models: equal trainings are equal bytes."""
        states = [self._models[name].state_dict() for name in sorted(self._models)]
        weights = {f"{i}.{key}": value for i, state in enumerate(states) for key, value in state.items()}
        storage.write(folder, self.kind, self._spec(), weights | self._stored_posteriors())

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote."""
        spec, weights = storage.read(folder, cls.kind, device)
        generator = cls._from_spec(spec, device)
        for i, name in enumerate(sorted(generator.classes)):
            generator._load_weights(name, storage.strip_prefix(f"{i}.", weights))
        generator._restore_posteriors(weights)
        return generator

    def model(self, class_name: str) -> ConvVAE:
        """A class's model, in evaluation mode.

        Raises:
            ConfigError: the class was not fitted here.
        """
        return self._fitted_model(self._models.get(class_name), class_name)

    def _network(self) -> ConvVAE:
        return ConvVAE(self.channels, self.size, self.config.width, self.config.latent_dim)

    def _load_weights(self, name: str, weights: storage.Weights) -> None:
        """Build a class's model, and its faster decoder, from its weights."""
        model = storage.build_module(self._network, weights, self._device)
        self._models[name], self._decoders[name] = model, model.decoder.for_decoding()

    def _report(self, task: ClassTask, images: Tensor, course: autoencoding.Course) -> fit_report.FitReport:
        return autoencoding.make_report(
            task.name,
            course,
            self.posteriors(images, task.name),
            images=len(task.rows),
            held_out=len(task.held_out),
            folds=len(task.folds),
            variance=float(self.model(task.name).variance),
            seconds=course.seconds,
        )


@dataclass(frozen=True)
class ClassTask:
    """What a class's model learns from.

    Attributes:
        name: the class; of a fold's model another one.
        rows: positions in the pool of the images trained on, int64.
        held_out: those of the images held out; may be empty.
        seed: of all the class's randomness.
        centre: mean of the images trained on, float32 (channels, size, size) in [0, 1].
        spread: mean squared difference of a pixel from the centre: the first variance.
        folds: models of a class with few images that learn beside its own, each without a part of the images. How well
            they do on these parts says when the class's own model, which learns from all images, is at its best.
    """

    name: str
    rows: Tensor
    held_out: Tensor
    seed: int
    centre: Tensor
    spread: float
    folds: tuple[ClassTask, ...] = ()

    @property
    def models(self) -> tuple[ClassTask, ...]:
        """Its own, and those of the folds."""
        return (self, *self.folds)

    @property
    def examined(self) -> tuple[ClassTask, ...]:
        """Those whose held-out images judge the class's own model."""
        return self.folds or (self,)


def make_tasks(class_images: Mapping[str, Tensor], config: GeneratorConfig, seed: int) -> list[ClassTask]:
    """A task for each class; rows count through the classes' images put one after the other.

    A class's seed comes from `seed` and its name alone.
    """
    tasks, first = [], 0
    for name, images in class_images.items():
        class_seed = derive(seed, "class", name)
        rows, held_out = autoencoding.hold_out(len(images), config.validation_share, class_seed)
        parts = autoencoding.divide_few(len(images), config.validation_share, class_seed)
        if parts:
            rows, held_out = torch.arange(len(images)), held_out[:0]
        folds = [
            _make_task(f"{name}\0{k}", images, first, *division, derive(class_seed, "fold", k))
            for k, division in enumerate(parts)
        ]
        tasks.append(_make_task(name, images, first, rows, held_out, class_seed, tuple(folds)))
        first += len(images)
    return tasks


def _make_task(
    name: str,
    images: Tensor,
    first: int,
    rows: Tensor,
    held_out: Tensor,
    seed: int,
    folds: tuple[ClassTask, ...] = (),
) -> ClassTask:
    """The task of a model that learns from these rows of a class's images, the first of which lies at `first`."""
    pixels = images[rows].to(torch.float32).div_(255)
    centre = pixels.mean(0)
    spread = float((pixels - centre).square().mean())
    return ClassTask(name, rows + first, held_out + first, seed, centre, spread, folds)


def start_model(task: ClassTask, config: GeneratorConfig) -> ConvVAE:
    """The class's model before its first step."""
    channels, size = task.centre.shape[0], task.centre.shape[-1]
    with seeded_init(derive(task.seed, "init")):
        model = ConvVAE(channels, size, config.width, config.latent_dim)
    model.start_at(task.centre)
    return model


class _Run:
    """The training of a group of classes: blocks of steps, an evaluation after each, an early stop for each class.

    The weights of a class's course are there once the class is through.
    """

    def __init__(
        self, executor: Executor, tasks: Sequence[ClassTask], config: GeneratorConfig, clock: training_loop.Clock
    ) -> None:
        self.executor, self.config, self.clock = executor, config, clock
        self.tasks = {task.name: task for task in tasks}
        self.warmup = round(config.vae.warmup * config.steps)
        self.courses = {task.name: autoencoding.Course() for task in tasks}
        self.done = 0
        self._exams = {
            part.name: autoencoding.draw_exam(part.rows, part.held_out, part.seed, config.latent_dim).to(
                executor.pool.device
            )
            for task in tasks
            for part in task.models
        }

    @property
    def active(self) -> list[str]:
        return [name for name, course in self.courses.items() if course.status is None]

    @property
    def is_finished(self) -> bool:
        return not self.active

    def restore(self, state: Mapping[str, Any]) -> None:
        self.done = int(state["done"])
        self.courses = {name: autoencoding.Course.from_state(state["courses"][name]) for name in self.courses}
        self.executor.load_state(state["executor"])

    def state(self) -> dict[str, Any]:
        courses = {name: course.state() for name, course in self.courses.items()}
        return {"done": self.done, "courses": courses, "executor": self.executor.state()}

    def begin(self) -> None:
        """Set the first variances."""
        fixed = self.config.vae.variance
        self._set_variances(
            {n: elbo.bounded(t.spread) if fixed == "learned" else float(fixed) for n, t in self.tasks.items()}
        )

    def advance(self) -> dict[str, float]:
        """One block of steps and its evaluation; values worth showing."""
        first, end = self.done, min(self.done + self.config.evaluate_every, self.config.steps)
        betas = [elbo.beta_at(step + 1, self.config.vae.beta, self.warmup) for step in range(first, end)]
        names = self.active
        parts = [part for name in names for part in self.tasks[name].models]
        means = self.executor.train({part.name: self._draw_block(part, end - first) for part in parts}, betas)
        exam = self.executor.examine({part.name: self._exams[part.name] for part in parts})
        by_model = dict(zip([part.name for part in parts], torch.cat((means, exam), dim=1).tolist(), strict=True))
        rows = {name: self._pool(self.tasks[name], by_model) for name in names}
        self.done = end
        self._set_variances({name: self._variance(row) for name, row in rows.items() if _is_finite(row)})
        improved_names = [name for name, row in rows.items() if self._judge(name, row, betas[-1])]
        self.executor.keep(improved_names)
        self._retire()
        losses = [c.curves[-1].loss / self.executor.pixels for n in names if (c := self.courses[n]).curves]
        return {"training": float(len(self.active))} | ({"loss": sum(losses) / len(losses)} if losses else {})

    def _retire(self) -> None:
        """Take the classes that are through out of the executor."""
        ended_names = [n for n, course in self.courses.items() if course.status is not None and not course.weights]
        dropped = self.executor.drop([part.name for name in ended_names for part in self.tasks[name].models])
        for name in ended_names:
            self.courses[name].weights, self.courses[name].seconds = dropped[name], self.clock.seconds

    def _set_variances(self, variances: Mapping[str, float]) -> None:
        """Of these classes' models, those of the folds too."""
        self.executor.set_variances({part.name: v for n, v in variances.items() for part in self.tasks[n].models})

    def _pool(self, task: ClassTask, rows: Mapping[str, Sequence[float]]) -> list[float]:
        """A class's row: the losses of its own model, and what was examined, as the mean over all held-out images."""
        examined = [(rows[part.name], max(1, len(part.held_out))) for part in task.examined]
        images = sum(n for _, n in examined)
        losses = [*rows[task.name][:3]] if all(_is_finite(rows[part.name]) for part in task.models) else [math.nan] * 3
        return losses + [sum(row[i] * n for row, n in examined) / images for i in (3, 4)]

    def _draw_block(self, task: ClassTask, steps: int) -> autoencoding.Batches:
        return autoencoding.draw_block(
            task.rows,
            task.seed,
            self.done,
            steps=steps,
            batch=min(self.config.batch_size, len(task.rows)),
            latent=self.config.latent_dim,
            augment=self.config.augment,
        ).to(self.executor.pool.device)

    def _judge(self, name: str, row: Sequence[float], beta: float) -> bool:
        """Write down an evaluation; True where the class's present weights are worth keeping."""
        course, task = self.courses[name], self.tasks[name]
        if not _is_finite(row):
            course.status, course.steps = "diverged", self.done
            return False
        loss, reconstruction, kl, error, exam_kl = row
        pixels = self.executor.pixels
        variance = self._variance(row)
        pair = torch.tensor((error, variance), dtype=torch.float64)
        exam_loss = float(elbo.negative_log_likelihood(pair[0], pair[1], pixels)) + self.config.vae.beta * exam_kl
        held_out = all(len(part.held_out) for part in task.examined)
        point = fit_report.CurvePoint(
            step=self.done,
            beta=beta,
            loss=loss,
            reconstruction=reconstruction,
            kl=kl,
            held_out_loss=exam_loss if held_out else None,
            held_out_error=error / pixels if held_out else None,
            variance=variance,
        )
        # nothing is judged before the end of the warm-up, when beta is whole
        return course.judge(point, exam_loss, self.config, judged=held_out and self.done >= self.warmup)

    def _variance(self, row: Sequence[float]) -> float:
        """The likelihood's variance after an evaluation.

        A learned one is the mean squared error of the examined images, the value at which their likelihood is greatest
        (Rybkin et al., 2021). Taken from images held out it cannot shrink with what the model knows by heart; taken
        from those trained on it does, and lets the KL term lose its hold.
        """
        fixed, error = self.config.vae.variance, row[3]
        return elbo.bounded(error / self.executor.pixels) if fixed == "learned" else float(fixed)


def _is_finite(row: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in row)


class Executor(ABC):
    """Models of several classes by name, their optimisers, and for each the weights last kept.

    Args:
        pool: the images that the rows of `Batches` point into.
        models: freshly initialised models on the CPU, by class name.
        learning_rate: Adam's.
        clip: largest gradient norm of one class's model.
    """

    def __init__(self, pool: ImagePool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        self.pool, self.learning_rate, self.clip = pool, learning_rate, clip
        first = next(iter(models.values()))
        self.pixels = first.channels * first.size**2

    @abstractmethod
    def train(self, batches: Mapping[str, autoencoding.Batches], betas: Sequence[float]) -> Tensor:
        """As many steps as `betas` for each class; (classes, 3): mean loss, reconstruction and KL of the steps."""

    @abstractmethod
    def examine(self, batches: Mapping[str, autoencoding.Batches]) -> Tensor:
        """(classes, 2): summed squared error and KL, means over one batch each; nothing is learnt."""

    @abstractmethod
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""

    @abstractmethod
    def keep(self, classes: Collection[str]) -> None:
        """Copy the present weights of these classes: they are worth keeping."""

    @abstractmethod
    def drop(self, classes: Collection[str]) -> dict[str, storage.Weights]:
        """Train these classes no more; of each the weights last kept, on the CPU."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that a training needs to go on, for `load_state`."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""


def _make_executor(pool: ImagePool, models: Mapping[str, ConvVAE], config: GeneratorConfig) -> Executor:
    """The executor that the configuration names; `auto` is the stack on a GPU and the loop elsewhere."""
    rate, clip = config.learning_rate, config.clip
    if config.vae.execution == "stack" or (config.vae.execution == "auto" and pool.device.type == "cuda"):
        most = _classes_at_once(next(iter(models.values())), config, pool.device)
        return StacksExecutor(pool, models, learning_rate=rate, clip=clip, most=most)
    return LoopExecutor(pool, models, learning_rate=rate, clip=clip)


def _classes_at_once(model: ConvVAE, config: GeneratorConfig, device: torch.device) -> int | None:
    """How many classes of this model one stack may hold on what memory is free; None: there is no telling."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(_SHARE_OF_FREE * free / _bytes_of_a_class(model, config)))


def _bytes_of_a_class(model: ConvVAE, config: GeneratorConfig) -> int:
    """Memory that a class takes in a stack: float32 weights, those kept, gradients, Adam's two moments and a copy; what
    each layer puts out for a batch and its gradient; and the noise of a block of steps."""
    outputs: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output.numel()))
        for layer in model.modules()
        if not list(layer.children())
    ]
    with torch.no_grad():
        model(torch.zeros(1, model.channels, model.size, model.size), torch.zeros(1, model.latent_dim))
    for hook in hooks:
        hook.remove()
    weights = sum(p.numel() for p in model.parameters())
    images = config.batch_size * (2 * sum(outputs) + config.evaluate_every * model.latent_dim)
    return 4 * (6 * weights + images)


@dataclass
class _ClassState:
    model: ConvVAE
    optimizer: torch.optim.Adam
    best: storage.Weights


class LoopExecutor(Executor):
    """One class after the other, each with modules and an optimiser of its own: classes cannot touch each other.

    The fastest way on a CPU, where one class's kernels already fill the cores.
    """

    def __init__(self, pool: ImagePool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        super().__init__(pool, models, learning_rate=learning_rate, clip=clip)
        self._classes = {name: self._prepare(model) for name, model in models.items()}

    def _prepare(self, model: ConvVAE) -> _ClassState:
        module = model.to(self.pool.device).to(memory_format=torch.channels_last)
        optimizer = training_loop.make_optimizer(list(module.parameters()), self.learning_rate)
        return _ClassState(module, optimizer, storage.copy_weights(module.state_dict()))

    def train(self, batches: Mapping[str, autoencoding.Batches], betas: Sequence[float]) -> Tensor:
        """Each class's steps, one class after the other."""
        return torch.stack([self._train(self._classes[name], batches[name], betas) for name in self._classes])

    def _train(self, state: _ClassState, batches: autoencoding.Batches, betas: Sequence[float]) -> Tensor:
        model, optimizer = state.model, state.optimizer
        parameters = list(model.parameters())
        sums = torch.zeros(3, device=self.pool.device)
        for step, beta in enumerate(betas):
            mirrored = None if batches.mirrored is None else batches.mirrored[step]
            images = self.pool.batch(batches.rows[step], mirrored)
            error, kl = elbo.terms(images, *model(images, batches.noise[step]))
            reconstruction = elbo.negative_log_likelihood(error, model.variance, self.pixels).mean()
            divergence = kl.sum(1).mean()
            loss = reconstruction + beta * divergence
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, self.clip, foreach=True)
            optimizer.step()
            sums += torch.stack((loss, reconstruction, divergence)).detach()
        return sums / len(betas)

    @torch.no_grad()
    def examine(self, batches: Mapping[str, autoencoding.Batches]) -> Tensor:
        """One batch of each class."""
        rows = []
        for name, state in self._classes.items():
            images = self.pool.batch(batches[name].rows[0], None)
            error, kl = elbo.terms(images, *state.model(images, batches[name].noise[0]))
            rows.append(torch.stack((error.mean(), kl.sum(1).mean())))
        return torch.stack(rows)

    @torch.no_grad()
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""
        for name, variance in variances.items():
            self._classes[name].model.variance.fill_(variance)

    def keep(self, classes: Collection[str]) -> None:
        """Copy these classes' weights."""
        for name in classes:
            state = self._classes[name]
            for key, value in state.model.state_dict().items():
                state.best[key].copy_(value)

    def drop(self, classes: Collection[str]) -> dict[str, storage.Weights]:
        """Forget these classes but for the weights last kept."""
        return {name: {k: v.cpu() for k, v in self._classes.pop(name).best.items()} for name in classes}

    def state(self) -> dict[str, Any]:
        """All models, optimisers and kept weights."""
        return {
            name: {"model": s.model.state_dict(), "optimizer": s.optimizer.state_dict(), "kept": s.best}
            for name, s in self._classes.items()
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._classes = {name: s for name, s in self._classes.items() if name in state}
        for name, class_state in self._classes.items():
            class_state.model.load_state_dict(state[name]["model"])
            class_state.optimizer.load_state_dict(state[name]["optimizer"])
            for key, value in state[name]["kept"].items():
                class_state.best[key].copy_(value)


class StacksExecutor(Executor):
    """As many classes in one stack as the memory holds, one stack after the other; usually one holds all.

    Args:
        pool: see `Executor`.
        models: see `Executor`.
        learning_rate: see `Executor`.
        clip: see `Executor`.
        most: classes of one stack; None: all.
    """

    def __init__(
        self,
        pool: ImagePool,
        models: Mapping[str, ConvVAE],
        *,
        learning_rate: float,
        clip: float,
        most: int | None = None,
    ) -> None:
        super().__init__(pool, models, learning_rate=learning_rate, clip=clip)
        names = list(models)
        size = len(names) if most is None else most
        self._stacks = [
            StackExecutor(pool, {n: models[n] for n in part}, learning_rate=learning_rate, clip=clip)
            for part in (names[i : i + size] for i in range(0, len(names), size))
        ]

    def train(self, batches: Mapping[str, autoencoding.Batches], betas: Sequence[float]) -> Tensor:
        """The steps of each stack."""
        return torch.cat([stack.train(batches, betas) for stack in self._stacks])

    def examine(self, batches: Mapping[str, autoencoding.Batches]) -> Tensor:
        """One batch of each class, a stack at a time."""
        return torch.cat([stack.examine(batches) for stack in self._stacks])

    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""
        for stack in self._stacks:
            stack.set_variances(variances)

    def keep(self, classes: Collection[str]) -> None:
        """Copy these classes' weights."""
        for stack in self._stacks:
            stack.keep(classes)

    def drop(self, classes: Collection[str]) -> dict[str, storage.Weights]:
        """Forget these classes but for the weights last kept."""
        best_weights: dict[str, storage.Weights] = {}
        for stack in self._stacks:
            best_weights |= stack.drop([name for name in classes if name in stack.names])
        self._stacks = [stack for stack in self._stacks if stack.names]
        return best_weights

    def state(self) -> dict[str, Any]:
        """Every stack's."""
        return {"stacks": [stack.state() for stack in self._stacks]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, with its stacks, whatever memory is free now."""
        first = self._stacks[0]
        self._stacks = [first.from_state(stack_state) for stack_state in state["stacks"]]


class StackExecutor(Executor):
    """All classes as one stacked model: one kernel launch serves every class, which is what a GPU needs.

    Parameters carry a leading axis of classes; gradients, their clipping and Adam never mix its entries.
    """

    def __init__(self, pool: ImagePool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        super().__init__(pool, models, learning_rate=learning_rate, clip=clip)
        modules = [model.to(pool.device) for model in models.values()]
        self._names = list(models)
        parameters, buffers = stack_module_state(modules)
        self._buffers = {key: value.detach().clone() for key, value in buffers.items()}
        self._parameters = {key: value.detach().clone().requires_grad_() for key, value in parameters.items()}
        self._best = storage.copy_weights(self._weights())
        self._optimizer = training_loop.make_optimizer(list(self._parameters.values()), learning_rate)
        self._terms = vmap(_class_terms(modules[0]))

    def train(self, batches: Mapping[str, autoencoding.Batches], betas: Sequence[float]) -> Tensor:
        """All classes' steps at once."""
        rows, noise, weights, mirrored = self._pad(batches)
        variance = self._buffers["variance"][:, None]
        sums = torch.zeros(len(self._names), 3, device=self.pool.device)
        for step, beta in enumerate(betas):
            images = self.pool.batch(rows[:, step], None if mirrored is None else mirrored[:, step])
            error, kl = self._terms(self._parameters, images, noise[:, step])
            reconstruction = (elbo.negative_log_likelihood(error, variance, self.pixels) * weights).sum(1)
            divergence = (kl.sum(2) * weights).sum(1)
            loss = reconstruction + beta * divergence
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss.sum())
            self._clip()
            self._optimizer.step()
            sums += torch.stack((loss, reconstruction, divergence), dim=1).detach()
        return sums / len(betas)

    @torch.no_grad()
    def examine(self, batches: Mapping[str, autoencoding.Batches]) -> Tensor:
        """One batch of each class, all at once."""
        rows, noise, weights, _ = self._pad(batches)
        images = self.pool.batch(rows[:, 0], None)
        error, kl = self._terms(self._parameters, images, noise[:, 0])
        return torch.stack(((error * weights).sum(1), (kl.sum(2) * weights).sum(1)), dim=1)

    @torch.no_grad()
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""
        present = self._buffers["variance"]
        given = [variances.get(name, -1.0) for name in self._names]
        new = torch.tensor(given, dtype=present.dtype, device=present.device)
        present.copy_(torch.where(new > 0, new, present))

    @torch.no_grad()
    def keep(self, classes: Collection[str]) -> None:
        """Copy these classes' weights."""
        is_improved = torch.tensor([name in classes for name in self._names], device=self.pool.device)
        for key, value in self._weights().items():
            mask = is_improved.view(-1, *[1] * (value.ndim - 1))
            self._best[key] = torch.where(mask, value.detach(), self._best[key])

    def drop(self, classes: Collection[str]) -> dict[str, storage.Weights]:
        """Forget these classes but for the weights last kept; the others are copied once."""
        index = {name: i for i, name in enumerate(self._names)}
        best_weights = {n: {key: v[index[n]].cpu().clone() for key, v in self._best.items()} for n in classes}
        if best_weights:
            self._names = [name for name in self._names if name not in best_weights]
            if self._names:
                self._select([index[name] for name in self._names])
        return best_weights

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that are trained."""
        return tuple(self._names)

    def from_state(self, state: Mapping[str, Any]) -> StackExecutor:
        """Another one of the same architecture, where `state` was taken."""
        other_stack = copy.copy(self)
        other_stack.load_state(state)
        return other_stack

    def state(self) -> dict[str, Any]:
        """All models, optimisers and kept weights."""
        return {
            "names": list(self._names),
            "parameters": {key: value.detach() for key, value in self._parameters.items()},
            "buffers": self._buffers,
            "kept": self._best,
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        device = self.pool.device
        self._names = list(state["names"])
        self._parameters = {k: v.to(device).clone().requires_grad_() for k, v in state["parameters"].items()}
        self._buffers = {k: v.to(device).clone() for k, v in state["buffers"].items()}
        self._best = {k: v.to(device).clone() for k, v in state["kept"].items()}
        self._optimizer = training_loop.make_optimizer(list(self._parameters.values()), self.learning_rate)
        self._optimizer.load_state_dict(state["optimizer"])

    def _weights(self) -> storage.Weights:
        return {**self._parameters, **self._buffers}

    def _select(self, indices: list[int]) -> None:
        """Keep these classes' slices of everything, Adam's moments included."""
        optimizer_state = self._optimizer.state_dict()
        moments = {
            parameter: {k: v[indices] if v.ndim else v for k, v in moment.items()}
            for parameter, moment in optimizer_state["state"].items()
        }
        self._parameters = {k: v.detach()[indices].clone().requires_grad_() for k, v in self._parameters.items()}
        self._buffers = {k: v[indices] for k, v in self._buffers.items()}
        self._best = {k: v[indices] for k, v in self._best.items()}
        self._optimizer = training_loop.make_optimizer(list(self._parameters.values()), self.learning_rate)
        self._optimizer.load_state_dict({**optimizer_state, "state": moments})

    @torch.no_grad()
    def _clip(self) -> None:
        """Scale each class's gradient to the norm allowed: a norm over all classes would spread one's NaN to all."""
        gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
        scale = (self.clip / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

    def _pad(self, batches: Mapping[str, autoencoding.Batches]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Batches stacked over the classes; shorter ones are filled up with images of weight 0."""
        class_batches = [batches[name] for name in self._names]
        size = max(b.rows.shape[1] for b in class_batches)
        gaps = [size - b.rows.shape[1] for b in class_batches]
        rows = torch.stack([F.pad(b.rows, (0, g)) for b, g in zip(class_batches, gaps, strict=True)])
        noise = torch.stack([F.pad(b.noise, (0, 0, 0, g)) for b, g in zip(class_batches, gaps, strict=True)])
        image_weights = [torch.ones(size - g, device=self.pool.device) / (size - g) for g in gaps]
        weights = torch.stack([F.pad(o, (0, g)) for o, g in zip(image_weights, gaps, strict=True)])
        flips = [F.pad(b.mirrored, (0, g)) for b, g in zip(class_batches, gaps, strict=True) if b.mirrored is not None]
        return rows, noise, weights, torch.stack(flips) if flips else None


def _class_terms(network: ConvVAE) -> Callable[[storage.Weights, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`elbo.terms` as a function of one class's weights, images and noise."""

    def terms(parameters: storage.Weights, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        decoded, mean, log_variance = functional_call(network, parameters, (images, noise))
        return elbo.terms(images, decoded, mean, log_variance)

    return terms
