"""The classifier of an arm: one network, or several that share the steps among them and average their probabilities."""

import time
from collections.abc import Callable

import torch

from synaug_core import checkpoints, seeds
from synaug_core.classify import scores, trained
from synaug_core.classify.model import Ensemble
from synaug_core.classify.online import Online
from synaug_core.classify.training import train
from synaug_core.config import ArmConfig, ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import Progress, part_of, silent
from synaug_core.vocabulary import Precision

__all__ = ["train_arm"]

_BATCH = 256


def train_arm(
    config: ClassifierConfig,
    arm: ArmConfig,
    images: ImageSet,
    val: ImageSet,
    *,
    init_seed: int,
    batch_seed: int,
    device: torch.device | str = "cpu",
    precision: Precision = "auto",
    progress: Progress = silent,
    checkpoint: checkpoints.Checkpoint | None = None,
    deadline: float | None = None,
    on_evaluation: Callable[[int, float], None] | None = None,
    online: Online | None = None,
) -> trained.TrainedClassifier:
    """Train an arm's classifier in `config.steps` optimiser steps, whatever the number of its networks.

    With several `arm.members` each network makes an equal part of the steps with a schedule of its own, from other
    initial weights and other batches. The steps of the history count through all of them, and its last evaluation is
    that of the averaged probabilities.

    Arguments, result and errors are those of `training.train`.
    """
    if arm.members == 1:
        return train(
            config,
            arm,
            images,
            val,
            init_seed=init_seed,
            batch_seed=batch_seed,
            device=device,
            precision=precision,
            progress=progress,
            checkpoint=checkpoint,
            deadline=deadline,
            on_evaluation=on_evaluation,
            online=online,
        )
    start_time = time.monotonic()
    steps = max(1, config.step_count // arm.members)
    members: list[trained.TrainedClassifier] = []
    for number in range(arm.members):
        steps_before = sum(member.history.stopped_at for member in members)
        members.append(
            train(
                config.model_copy(update={"steps": steps}),
                arm.model_copy(update={"members": 1}),
                images,
                val,
                init_seed=seeds.derive(init_seed, "member", number),
                batch_seed=seeds.derive(batch_seed, "member", number),
                device=device,
                precision=precision,
                progress=part_of(progress, before=number * steps, total_steps=arm.members * steps),
                checkpoint=None if checkpoint is None else checkpoint.part(f"member-{number}"),
                deadline=None if deadline is None else deadline - (time.monotonic() - start_time),
                on_evaluation=None if on_evaluation is None else _shifted(on_evaluation, steps_before),
                online=online,
            )
        )
    return _joined(config, members, val)


def _shifted(on_evaluation: Callable[[int, float], None], steps: int) -> Callable[[int, float], None]:
    return lambda step, score: on_evaluation(steps + step, score)


def _joined(
    config: ClassifierConfig, members: list[trained.TrainedClassifier], val: ImageSet
) -> trained.TrainedClassifier:
    first, histories = members[0], [member.history for member in members]
    evaluations: list[trained.Evaluation] = []
    steps = 0
    for history in histories:
        evaluations += [e.model_copy(update={"step": steps + e.step}) for e in history.evaluations]
        steps += history.stopped_at
    model = Ensemble([member.model for member in members]).eval()
    final = trained.Evaluation(step=steps, train_loss=evaluations[-1].train_loss)
    if len(val):
        with torch.inference_mode():
            logits = torch.cat([model(part.to(model.mean.device)) for part in torch.split(val.images, _BATCH)])
        final = final.model_copy(update=scores.validation_scores(logits, val.labels.to(logits.device)))
    history = trained.History(
        evaluations=(*(e for e in evaluations if e.step < steps), final),
        best_step=steps,
        stopped_at=steps,
        ended=histories[-1].ended,
        members=len(members),
        prior=histories[0].prior,
        prior_correction=sum(h.prior_correction for h in histories) / len(histories),
        seconds=sum(h.seconds for h in histories),
    )
    return trained.TrainedClassifier(model, config, first.classes, first.channels, first.size, history)
