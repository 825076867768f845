"""The classifiers part of `core_only`: the search and the repetitions of each arm."""

from __future__ import annotations

from typing import NamedTuple

import torch

from benchmarks.core.job import Job, Synthetic, call
from synaug_core.classify import tuning, tuning_figures
from synaug_core.classify.search_space import TrialSpec, Tuned, as_configured, searched_arms
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.classify.tuning import Pruned
from synaug_core.config import ArmConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import DivergenceError
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import scores
from synaug_core.seeds import derive

__all__ = ["Repetition", "repeat", "tune"]


class Repetition(NamedTuple):
    """A trained classifier, its balanced accuracy on validation images, and its predictions."""

    validation: float
    predictions: Predictions
    validated: Predictions
    classifier: TrainedClassifier


def _training_images(job: Job, synthetic: ImageSet | None, share: float | None) -> ImageSet:
    if synthetic is None:
        return job.data.train
    part = 1.0 if share is None else share
    head = synthetic.head_of_each_class({c: round(n * part) for c, n in synthetic.counts().items()})
    return concatenate([job.data.train, head])


def tune(job: Job, synthetic: Synthetic) -> dict[str, Tuned]:
    """The hyper-parameters of each arm."""
    config = job.config
    if config.tuning.trials == 0:
        return {arm.name: Tuned() for arm in config.arms}
    if config.tuning.scope == "per_arm":
        return {arm.name: _search(job, (arm,), synthetic) for arm in config.arms}
    searched = searched_arms(config.tuning, config.arms)
    return dict.fromkeys((arm.name for arm in config.arms), _search(job, searched, synthetic))


def _search(job: Job, arms: tuple[ArmConfig, ...], synthetic: Synthetic) -> Tuned:
    config, names = job.config, ", ".join(arm.name for arm in arms)
    initial = as_configured(config.classifier)
    used = [arm if len(synthetic[arm.name] or ()) else arm.model_copy(update={"synthesis": None}) for arm in arms]
    steps = config.classifier.steps_or_half(config.tuning.steps)
    settings = config.tuning.narrowed_to(used, config.classifier.training).model_copy(update={"steps": steps})

    def opened() -> tuning.Search:
        seed = derive(config.seed, "tuning", names)
        return tuning.open_study(str(job.place("tuning.journal")), names, seed=seed, config=settings, initial=initial)

    def run(trial: TrialSpec) -> float | None:
        search, scores = opened(), list[float]()
        trial_config = trial.parameters.apply(config.classifier).model_copy(update={"steps": trial.steps})
        try:
            for arm in arms:
                classifier = train(
                    TrainingJob(
                        trial_config,
                        arm,
                        _training_images(job, synthetic[arm.name], trial.parameters.synthetic_share),
                        job.data.val,
                        init_seed=derive(config.seed, "init", "tuning"),
                        batch_seed=derive(config.seed, "batches", "tuning", arm.name),
                        device=job.device,
                        checkpoint=job.checkpoint(f"trial-{trial.number}-{trial.steps}-{arm.name}"),
                        on_evaluation=tuning.watch(search, trial, steps=trial.steps, scores=tuple(scores)),
                    )
                )
                scores.append(classifier.history.best_score or 0.0)
        except (Pruned, DivergenceError):
            return None
        return sum(scores) / len(scores)

    while trials := tuning.ask(search := opened()):
        for trial, value in zip(trials, job.side_by_side([call(run, trial) for trial in trials]), strict=True):
            tuning.end_trial(search, trial, value, pruned=value is None)
    rows, best_trial = tuning.history(search), tuning.find_best_trial(search)
    job.keep(tuning_figures.history_figure(rows), f"tuning/{names}/history.png")
    job.keep(tuning_figures.importance_figure(tuning.importance(search)), f"tuning/{names}/importance.png")
    return best_trial.parameters if best_trial is not None else initial


def repeat(job: Job, arm: ArmConfig, repetition: int, synthetic: ImageSet | None, tuned: Tuned) -> Repetition:
    """Train an arm's classifier once and look at it."""
    config, name = job.config, f"{arm.name}-{repetition}"
    classifier = train(
        TrainingJob(
            tuned.apply(config.classifier),
            arm,
            _training_images(job, synthetic, tuned.synthetic_share),
            job.data.val,
            init_seed=derive(config.seed, "init", repetition),
            batch_seed=derive(config.seed, "batches", arm.name, repetition),
            device=job.device,
            checkpoint=job.checkpoint(name),
        )
    )
    validated = _predict(job, classifier, job.data.val)
    on_val = scores(validated)
    on_test = _predict(job, classifier, job.data.test)
    scores(on_test)
    classifier.save(job.place(f"classifiers/{name}"))
    on_test.write(job.place(f"predictions/{name}.parquet"))
    return Repetition(on_val["balanced_accuracy"], on_test, validated, classifier)


def _predict(job: Job, classifier: TrainedClassifier, images: ImageSet) -> Predictions:
    probabilities = classifier.predict(images, device=torch.device(job.device))
    return Predictions(
        ids=images.ids, labels=images.labels.numpy(), probabilities=probabilities, classes=classifier.classes
    )
