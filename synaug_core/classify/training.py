"""The one training loop: every arm, backbone and trial goes through it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core import digests, seeds
from synaug_core.checkpoints import Checkpoint
from synaug_core.classify import optimisation, scores
from synaug_core.classify.augment import augment
from synaug_core.classify.build import build
from synaug_core.classify.history import Evaluation, History
from synaug_core.classify.model import Classifier, as_float
from synaug_core.classify.sampling import IndexSampler
from synaug_core.classify.statistics import channel_statistics
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import DataError, DeadlineError, DivergenceError
from synaug_core.progress import Progress, silent

__all__ = ["train"]

_EVALUATION_BATCH = 256


def train(
    config: ClassifierConfig,
    arm: ArmConfig,
    train: ImageSet,
    val: ImageSet,
    *,
    init_seed: int,
    batch_seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
    deadline: float | None = None,
    on_evaluation: Callable[[int, float], None] | None = None,
) -> TrainedClassifier:
    """Train one classifier for `config.steps` optimiser steps, or until the validation loss stops falling.

    The weights with the lowest validation loss are kept. Without validation images all steps are made and the last
    weights are kept. The same arguments on the same device with the same number of threads give the same bytes,
    also when the training was killed and went on from its checkpoint. The initial weights depend on `config` and
    `init_seed` alone.

    Args:
        config: network, optimiser, steps, early stopping.
        arm: how training images are drawn and changed; its `synthesis` is not looked at.
        train: real images and, joined to them, the arm's synthetic ones.
        val: real images; may be empty.
        init_seed: of the initial weights.
        batch_seed: of the batches, the augmentation and the dropout.
        device: where to compute. On a GPU the network runs in bfloat16 (autocast).
        progress: told after every step.
        checkpoint: where the state is left and looked for.
        deadline: seconds from now.
        on_evaluation: given the step and the validation balanced accuracy after each evaluation; may raise (see
            `pruning.Pruned`). After a resume the evaluations before it are told again.

    Raises:
        DataError: no training image, or sets that do not fit together.
        ConfigError, WeightsError: as `build.build`.
        DivergenceError: the loss is not finite.
        DeadlineError: the deadline passed.
    """
    _check(train, val)
    started = time.monotonic()
    loop = _Loop.start(config, arm, train, val, init_seed, batch_seed, torch.device(device))
    key = _key(config, arm, train, val, init_seed, batch_seed, loop.device) if checkpoint is not None else ""
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None and saved.get("key") == key:
        loop.restore(saved)
        if on_evaluation is not None:
            for past in loop.evaluations:
                on_evaluation(past.step, _score(past))
    while (ended := loop.ended()) is None:
        if deadline is not None and time.monotonic() - started > deadline:
            raise DeadlineError(f"arm {arm.name}: the training passed {deadline:g} s at step {loop.step}")
        loop.advance()
        if loop.is_evaluation_due():
            latest = loop.evaluate()
            if on_evaluation is not None and latest.val_balanced_accuracy is not None:
                on_evaluation(latest.step, latest.val_balanced_accuracy)
        if checkpoint is not None:
            checkpoint.offer(lambda: {"key": key, **loop.state()})
        progress(loop.step, config.steps, **loop.shown())
    return loop.finish(ended, time.monotonic() - started)


@dataclass
class _Loop:
    """A training between two steps."""

    config: ClassifierConfig
    arm: ArmConfig
    classes: tuple[str, ...]
    device: torch.device
    model: Classifier
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    sampler: IndexSampler
    noise: torch.Generator
    """Augmentation and dropout."""
    weights: Tensor | None
    loss_sum: Tensor
    first_bad: Tensor
    """The first step with a loss that is not finite; `config.steps` + 1: none so far."""
    step: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_step: int = 0

    @classmethod
    def start(
        cls,
        config: ClassifierConfig,
        arm: ArmConfig,
        train: ImageSet,
        val: ImageSet,
        init_seed: int,
        batch_seed: int,
        device: torch.device,
    ) -> _Loop:
        if device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # same inputs, same bytes
        mean, std = channel_statistics(train)
        model = build(
            config,
            channels=train.channels,
            size=train.size,
            classes=train.classes,
            seed=init_seed,
            mean=mean,
            std=std,
        ).to(device)
        balanced = arm.sampling == "balanced"
        weights = optimisation.class_weights(config, train.labels, len(train.classes), balanced_draws=balanced)
        batches = seeds.stream(seeds.derive(batch_seed, "batches"))
        return cls(
            config=config,
            arm=arm,
            classes=train.classes,
            device=device,
            model=model,
            optimizer=optimisation.optimizer(model, config),
            images=train.images.to(device),
            labels=train.labels.to(device),
            val_images=val.images.to(device),
            val_labels=val.labels.to(device),
            sampler=IndexSampler(train.labels, config.batch_size, arm.sampling, batches, device),
            noise=seeds.stream(seeds.derive(batch_seed, "noise"), device),
            weights=None if weights is None else weights.to(device),
            loss_sum=torch.zeros((), device=device),
            first_bad=torch.tensor(config.steps + 1, device=device),
        )

    def advance(self) -> None:
        """One optimiser step; nothing is read back from the device."""
        index = self.sampler.next()
        images = as_float(self.images[index])
        if self.arm.augmentation == "traditional":
            images = augment(images, self.config.augmentation, self.noise)
        for group in self.optimizer.param_groups:
            group["lr"] = optimisation.learning_rate(self.config, self.step)
        self.model.train()
        with _precision(self.device):
            logits = self.model(images, self.noise)
        loss = F.cross_entropy(
            logits, self.labels[index], weight=self.weights, label_smoothing=self.config.label_smoothing
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.optimizer.step()
        self.step += 1
        value = loss.detach()
        self.loss_sum += value
        bad = torch.where(value.isfinite(), self.config.steps + 1, self.step)
        self.first_bad = torch.minimum(self.first_bad, bad)

    def is_evaluation_due(self) -> bool:
        return self.step % self.config.evaluate_every == 0 or self.step == self.config.steps

    def evaluate(self) -> Evaluation:
        """Look at the losses since the last evaluation and at the validation images."""
        before = self.evaluations[-1].step if self.evaluations else 0
        bad = int(self.first_bad)
        if bad <= self.step:
            raise DivergenceError(f"arm {self.arm.name}: the training loss is not finite at step {bad}")
        logits = self._logits(self.val_images) if len(self.val_images) else None
        latest = Evaluation(
            step=self.step,
            train_loss=float(self.loss_sum) / (self.step - before),
            val_loss=None if logits is None else scores.cross_entropy(logits, self.val_labels),
            val_balanced_accuracy=None if logits is None else scores.balanced_accuracy(logits, self.val_labels),
        )
        if logits is not None and not bool(logits.isfinite().all()):
            raise DivergenceError(f"arm {self.arm.name}: the validation loss is not finite at step {self.step}")
        self.loss_sum.zero_()
        lowest = min((e.val_loss for e in self.evaluations if e.val_loss is not None), default=float("inf"))
        self.evaluations.append(latest)
        if latest.val_loss is not None and latest.val_loss < lowest:
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            self.best_step = self.step
        return latest

    def ended(self) -> Literal["all steps", "early stop", "no validation images"] | None:
        """Why the training is over; None while it is not."""
        since = sum(e.step > self.best_step for e in self.evaluations)
        if self.best is not None and since >= self.config.patience:
            return "early stop"
        if self.step < self.config.steps:
            return None
        return "all steps" if len(self.val_images) else "no validation images"

    def shown(self) -> dict[str, float]:
        """Values of the last evaluation, for the progress display."""
        if not self.evaluations:
            return {}
        last = self.evaluations[-1].model_dump(exclude={"step"}, exclude_none=True)
        return {k: float(v) for k, v in last.items()}

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state(),
            "noise": self.noise.get_state(),
            "loss_sum": self.loss_sum,
            "first_bad": self.first_bad,
            "evaluations": [e.model_dump() for e in self.evaluations],
            "best": self.best,
            "best_step": self.best_step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.restore(state["sampler"])
        self.noise.set_state(state["noise"])
        self.loss_sum = state["loss_sum"].to(self.device)
        self.first_bad = state["first_bad"].to(self.device)
        self.evaluations = [Evaluation(**e) for e in state["evaluations"]]
        self.best = state["best"]
        self.best_step = state["best_step"]

    def finish(
        self, ended: Literal["all steps", "early stop", "no validation images"], seconds: float
    ) -> TrainedClassifier:
        if self.best is not None:
            self.model.load_state_dict(self.best)
        history = History(
            evaluations=tuple(self.evaluations),
            best_step=self.best_step or self.step,
            stopped_at=self.step,
            ended=ended,
            seconds=seconds,
        )
        _, channels, size, _ = self.images.shape
        return TrainedClassifier(self.model.eval(), self.config, self.classes, channels, size, history)

    def _logits(self, images: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad(), _precision(self.device):
            return torch.cat([self.model(part) for part in images.split(_EVALUATION_BATCH)])


def _precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 on a GPU. On a CPU without its instructions it is slower than float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _score(evaluation: Evaluation) -> float:
    score = evaluation.val_balanced_accuracy
    return float("nan") if score is None else score


def _check(train: ImageSet, val: ImageSet) -> None:
    if not len(train):
        raise DataError("there is no training image")
    if train.classes != val.classes:
        raise DataError("the training and validation images have different classes")
    if len(val) and train.images.shape[1:] != val.images.shape[1:]:
        raise DataError("the training and validation images have different shapes")


def _key(
    config: ClassifierConfig,
    arm: ArmConfig,
    train: ImageSet,
    val: ImageSet,
    init_seed: int,
    batch_seed: int,
    device: torch.device,
) -> str:
    """What a checkpoint must agree with to be gone on from."""
    data = [digests.of_bytes(t.numpy().tobytes()) for s in (train, val) for t in (s.images, s.labels)]
    settings = [config.model_dump(mode="json"), arm.model_dump(mode="json", include={"sampling", "augmentation"})]
    return digests.of_value([settings, data, list(train.classes), init_seed, batch_seed, device.type])
