"""The one training loop: every arm, backbone and trial goes through it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from synaug_core import code_reach, digests
from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.history import Evaluation
from synaug_core.classify.loop import Loop
from synaug_core.classify.online import Online
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import DataError, DeadlineError
from synaug_core.progress import Progress, silent

__all__ = ["train"]


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
    online: Online | None = None,
) -> TrainedClassifier:
    """Train one classifier for `config.steps` optimiser steps, or until the validation figure stops improving.

    The weights with the best validation figure (`config.keep`) are kept. Without validation images all steps are made
    and the last weights are kept. The same arguments on the same device with the same number of threads give the same
    bytes, also when the training was killed and went on from its checkpoint. The initial weights depend on `config`
    and `init_seed` alone.

    Args:
        config: network, optimiser, steps, early stopping.
        arm: how training images are drawn and changed; its `synthesis` is not looked at, and its `online` only to
            make sure that it is not forgotten.
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
        online: makes further images from those of each batch. The number of steps, and what real images draw, stay
            the same.

    Raises:
        ValueError: an arm with online synthesis, and nothing to make its images.
        DataError: no training image, or sets that do not fit together.
        ConfigError, WeightsError: as `build.build`.
        DivergenceError: the loss is not finite.
        DeadlineError: the deadline passed.
    """
    _check(train, val)
    if arm.online is not None and online is None:
        raise ValueError(f"arm {arm.name} makes images inside the training loop, and nothing was given to make them")
    started = time.monotonic()
    loop = Loop.start(config, arm, train, val, init_seed, batch_seed, torch.device(device), online)
    key = _key(config, arm, train, val, init_seed, batch_seed, loop.device, online) if checkpoint is not None else ""
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None and saved.get("key") == key:
        loop.restore(saved)
        for past in loop.evaluations:
            _say(on_evaluation, past)
    while (ended := loop.ended()) is None:
        if deadline is not None and time.monotonic() - started > deadline:
            raise DeadlineError(f"arm {arm.name}: the training passed {deadline:g} s at step {loop.step}")
        loop.advance()
        if loop.is_evaluation_due():
            _say(on_evaluation, loop.evaluate())
        if checkpoint is not None:
            checkpoint.offer(lambda: {"key": key, **loop.state()})
        progress(loop.step, config.steps, **loop.shown())
    return loop.finish(ended, time.monotonic() - started)


def _say(on_evaluation: Callable[[int, float], None] | None, evaluation: Evaluation) -> None:
    if on_evaluation is not None and evaluation.val_balanced_accuracy is not None:
        on_evaluation(evaluation.step, evaluation.val_balanced_accuracy)


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
    online: Online | None,
) -> str:
    """What a checkpoint must agree with to be gone on from."""
    data = [digests.of_bytes(t.cpu().numpy().tobytes()) for s in (train, val) for t in (s.images, s.labels)]
    settings = [
        config.model_dump(mode="json"),
        arm.training_settings(),
        None if online is None else online.identity,
    ]
    code = code_reach.module_version(__name__)
    return digests.of_value([settings, data, list(train.classes), init_seed, batch_seed, device.type, code])
