"""The classifier of an arm: one network, or several that share the steps among them and average their probabilities."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from synaug_core import seeds
from synaug_core.classify import scores, trained
from synaug_core.classify.model import Ensemble, batches
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import part_of

__all__ = ["train_arm"]


def train_arm(job: TrainingJob) -> trained.TrainedClassifier:
    """Train an arm's classifier in `job.config.steps` optimiser steps, whatever the number of its networks.

    With several `arm.members` each network makes an equal part of the steps with a schedule of its own, from other
    initial weights and other batches. The steps of the history count through all of them, and its last evaluation is
    that of the averaged probabilities.

    Result and errors are those of `training.train`.
    """
    networks = job.arm.members
    if networks == 1 or job.config.obstacle_to(job.arm) is not None:
        return train(job)  # which refuses an arm that cannot be trained in this way
    start_time = time.monotonic()
    steps = max(1, job.config.step_count // networks)
    as_member = replace(
        job,
        config=job.config.model_copy(update={"steps": steps}),
        arm=job.arm.model_copy(update={"members": 1}),
    )
    members: list[trained.TrainedClassifier] = []
    for number in range(networks):
        steps_before = sum(member.history.stopped_at for member in members)
        member_job = replace(
            as_member,
            init_seed=seeds.derive(job.init_seed, "member", number),
            batch_seed=seeds.derive(job.batch_seed, "member", number),
            progress=part_of(job.progress, before=number * steps, total_steps=networks * steps),
            checkpoint=None if job.checkpoint is None else job.checkpoint.part(f"member-{number}"),
            deadline=None if job.deadline is None else job.deadline - (time.monotonic() - start_time),
            on_evaluation=None if job.on_evaluation is None else _shifted(job.on_evaluation, steps_before),
        )
        members.append(train(member_job))
    return _joined(job.config, members, job.val)


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
            logits = torch.cat([model(part.to(model.mean.device)) for part in batches(model, val.images)])
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
