"""One training of one arm, and the search for hyper-parameters, in rounds: ask, train side by side, tell.

Optuna is loaded where a search begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from synaug_core import digests, errors, frozen, refs, seeds
from synaug_core.classify import ensemble
from synaug_core.classify.online import Online
from synaug_core.classify.search_space import TrialSpec, Tuned, as_configured
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob
from synaug_core.config import ArmConfig, ClassifierConfig, TuningConfig
from synaug_core.config.classifier import Training
from synaug_core.data import imageset
from synaug_core.evaluate import scorer
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.results import rarest
from synaug_core.names import slugs
from synaug_core.progress import part_of
from synaug_core.services.mlflow import runs
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.settings import settings
from synaug_core.synthesis.targeted.online import OnlineSynthesis
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import action, step, step_code

if TYPE_CHECKING:
    from synaug_core.classify.tuning import Search

__all__ = [
    "ask_trials",
    "ended_trials",
    "enter_results",
    "finish_search",
    "narrow_search",
    "online_synthesis",
    "open_search",
    "predict_images",
    "run_trial",
    "train_repetition",
    "training_images",
    "trial_name",
]

_VALIDATED = ("balanced_accuracy", "macro_auc")
"""Figures of the validation images by which trainings are compared; the others are in the table of the run."""

Synthetic = dict[str, tuple[refs.SyntheticRef, ...]]
OnlineGenerators = dict[str, tuple[refs.GeneratorRef, ...]]


def predict_images(classifier: TrainedClassifier, images: imageset.ImageSet, device: torch.device) -> Predictions:
    """Probabilities of every image beside its label."""
    return Predictions(
        ids=images.ids,
        labels=images.labels.numpy(),
        probabilities=classifier.predict(images, device=device),
        classes=classifier.classes,
    )


def training_images(
    dataset: refs.DatasetRef, arm: ArmConfig, synthetic: tuple[refs.SyntheticRef, ...], share: float | None
) -> imageset.ImageSet:
    """The real training images, then the first `share` of each class's synthetic ones (None: all of them)."""
    train = storage.load_images(dataset.train)
    images = storage.load_joined(synthetic) if arm.synthesis is not None else None
    if images is None:
        return train
    part = 1.0 if share is None else share
    return imageset.concatenate(
        [train, images.head_of_each_class({c: round(n * part) for c, n in images.counts().items()})]
    )


def online_synthesis(
    dataset: refs.DatasetRef,
    arm: ArmConfig,
    generators: tuple[refs.GeneratorRef, ...],
    config: ClassifierConfig,
    device: torch.device,
) -> Online | None:
    """The maker of an arm's images, from its frozen generators; None for an arm that makes none in the loop."""
    if arm.online is None:
        return None
    fitted = [storage.load_generator(reference, str(device)) for reference in generators]
    train = storage.load_images(dataset.train)
    return OnlineSynthesis(fitted, train, arm.online, batch_size=config.batch_size, device=device)


@step
def train_repetition(
    context: Context,
    arm: ArmConfig,
    repetition: int,
    synthetic: tuple[refs.SyntheticRef, ...],
    online: tuple[refs.GeneratorRef, ...],
    config: ClassifierConfig,
    tuned: Tuned,
) -> refs.RepetitionRef:
    """Train, keep the classifier that `config.keep` calls best on the validation images, predict the test images once.

    The initial weights depend on the repetition alone, so that the arms of one repetition are a pair.
    """
    dataset = context.dataset
    saved = recording.checkpoint()
    tags = {Tag.ARM: arm.name, Tag.SEED: str(repetition)}
    with (
        recording.recorded("repetition", f"{arm.name} {repetition}", context.run, tags) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        images = training_images(dataset, arm, synthetic, tuned.synthetic_share)
        real, added = dataset.train.counts, {c: n - dataset.train.counts[c] for c, n in images.counts().items()}
        val, test = storage.load_images(dataset.val), storage.load_images(dataset.test)
        fitted = tuned.apply(config)
        classifier = ensemble.train_arm(
            TrainingJob(
                fitted,
                arm,
                images,
                val,
                init_seed=seeds.derive(context.seed, "init", repetition),
                batch_seed=seeds.derive(context.seed, "batches", arm.name, repetition),
                device=device,
                precision=context.compute.precision,
                progress=recording.progress("training", f"{arm.name} {repetition}"),
                checkpoint=saved,
                deadline=context.compute.deadline,
                online=online_synthesis(dataset, arm, online, fitted, device),
            )
        )
        predicted_val = predict_images(classifier, val, device)
        val_scores = scorer.scores(predicted_val)
        predicted_test = predict_images(classifier, test, device)
        used = {"real_images": sum(real.values()), "synthetic_images": sum(added.values())}
        recorder.params(fitted.model_dump() | arm.model_dump() | used | {"training_images": len(images)})
        for evaluation in classifier.history.evaluations:
            recorder.metrics(evaluation.model_dump(exclude={"step"}), evaluation.step)
        history = classifier.history
        recorder.metrics({"best_step": history.best_step, "steps": history.stopped_at})
        recorder.metrics({"prior_correction": history.prior_correction, "head_strength": history.head_strength})
        names = slugs(classifier.classes).values()
        recorder.details({f"prior/{name}": share for name, share in zip(names, history.prior, strict=True)})
        recorder.metrics({f"val/{name}": val_scores.get(name) for name in _VALIDATED})
        recorder.details({f"val/{name}": v for name, v in val_scores.items() if name not in _VALIDATED})
        rare = scorer.RareClass(dataset.classes.index(rarest(dataset.train.counts, dataset.test.counts)))
        recorder.metrics({f"test/{name}": v for name, v in scorer.scores(predicted_test, rare).items()})
        reference = refs.RepetitionRef(
            arm=arm.name,
            repetition=repetition,
            validation=val_scores["balanced_accuracy"],
            classifier=storage.store_classifier(recorder, classifier),
            predictions=storage.store_predictions(recorder, predicted_test, ArtifactPath.TEST_PREDICTIONS),
            validation_predictions=storage.store_predictions(
                recorder, predicted_val, ArtifactPath.VALIDATION_PREDICTIONS
            ),
            real_images=real,
            synthetic_images=added,
            still_learning=history.is_still_learning,
            run_id=recorder.run.run_id,
        )
    saved.clear()
    return reference


def narrow_search(
    config: TuningConfig, arms: Sequence[ArmConfig], synthetic: Synthetic, training: Training = "scratch"
) -> TuningConfig:
    """The search over what its arms, and their way of training, use: hyper-parameters that none of them does, such as
    the share of synthetic images where none were made, stay as configured."""
    filled = {name for name, parts in synthetic.items() if any(part.images for part in parts)}
    used = [a if a.name in filled else a.model_copy(update={"synthesis": None}) for a in arms]
    return config.narrowed_to(used, training)


@action
def open_search(
    context: Context,
    arms: tuple[ArmConfig, ...],
    synthetic: Synthetic,
    online: OnlineGenerators,
    classifier: ClassifierConfig,
    config: TuningConfig,
) -> refs.SearchRef:
    """The study of this search, and its MLflow run: new ones, or those an earlier try began."""
    dataset = context.dataset
    narrow = narrow_search(config, arms, synthetic, classifier.training)
    config = narrow.model_copy(update={"steps": classifier.steps_or_half(config.steps)})
    key = digests.of_value(
        [
            frozen.identity([dataset, arms, synthetic, online, classifier, config, context.seed]),
            step_code(run_trial),
        ]
    )
    names = ", ".join(arm.name for arm in arms)
    run = runs.open_run(
        settings(),
        experiment=context.run.experiment,
        key=key,
        stage="tuning",
        name=f"tuning {names}",
        parent=context.run,
    )
    initial = as_configured(classifier)
    return refs.SearchRef(
        study=key, seed=seeds.derive(context.seed, "tuning", names), config=config, initial=initial, run=run
    )


@action
def ended_trials(search: refs.SearchRef) -> tuple[TrialSpec, ...]:
    """Trials of this search that an earlier retraining made: found again by their keys, and shown in this one too."""
    from synaug_core.classify import tuning

    return tuning.list_ended_trials(_open(search))


@action
def ask_trials(search: refs.SearchRef) -> tuple[TrialSpec, ...]:
    """The next round: trials that a killed run left first; none when the search is complete."""
    from synaug_core.classify import tuning

    return tuning.ask(_open(search))


@step
def run_trial(
    context: Context,
    arms: tuple[ArmConfig, ...],
    synthetic: Synthetic,
    online: OnlineGenerators,
    config: ClassifierConfig,
    search: refs.SearchRef,
    trial: TrialSpec,
) -> refs.TrialResult:
    """Train every arm of the search with the trial's parameters; the value is their mean balanced accuracy on the
    validation images. All trials have the same initial weights and batches: only the parameters differ."""
    from synaug_core.classify import tuning

    dataset = context.dataset
    opened = _open(search)
    steps, name = trial.steps, trial_name(trial, arms, search.config)
    fitted = trial.parameters.apply(config).model_copy(update={"steps": steps})
    show = recording.progress("tuning", name)
    saved = [recording.checkpoint(f"-{arm.name}") for arm in arms]
    scores: list[float] = []
    value: float | None = None
    with (
        recording.recorded("trial", name, context.run) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        recorder.params({**trial.parameters.values, "number": trial.number, "steps": steps})
        try:
            for arm, state in zip(arms, saved, strict=True):
                classifier = ensemble.train_arm(
                    TrainingJob(
                        fitted,
                        arm,
                        training_images(dataset, arm, synthetic[arm.name], trial.parameters.synthetic_share),
                        storage.load_images(dataset.val),
                        init_seed=seeds.derive(context.seed, "init", "tuning"),
                        batch_seed=seeds.derive(context.seed, "batches", "tuning", arm.name),
                        device=device,
                        precision=context.compute.precision,
                        progress=part_of(show, before=len(scores) * steps, total_steps=len(arms) * steps),
                        checkpoint=state,
                        deadline=context.compute.deadline,
                        on_evaluation=tuning.watch(opened, trial, steps=steps, scores=tuple(scores)),
                        online=online_synthesis(dataset, arm, online[arm.name], fitted, device),
                    )
                )
                scores.append(_score(classifier.history.best_score))
                recorder.metrics({f"val/balanced_accuracy/{arm.name}": scores[-1]})
            value = sum(scores) / len(scores)
            recorder.metrics({"val/balanced_accuracy": value})
        except (tuning.Pruned, errors.DivergenceError) as error:
            recorder.tags({Tag.OUTCOME: type(error).__name__, Tag.REASON: str(error)})
        result = refs.TrialResult(number=trial.number, value=value, run_id=recorder.run.run_id)
    for state in saved:
        state.clear()
    return result


@action
def enter_results(search: refs.SearchRef, trials: tuple[TrialSpec, ...], results: tuple[refs.TrialResult, ...]) -> None:
    """Enter a round's values into the study; trials of an earlier retraining are adopted below the search's run."""
    from synaug_core.classify import tuning

    opened = _open(search)
    for trial, result in zip(trials, results, strict=True):
        tuning.end_trial(opened, trial, result.value, pruned=result.value is None)
        runs.adopt(result.run_id, search.run)


@action
def finish_search(search: refs.SearchRef) -> Tuned:
    """The best parameters; with the figures of the search on its run."""
    from synaug_core.classify import tuning, tuning_figures

    opened = _open(search)
    best = tuning.find_best_trial(opened)
    parameters = best.parameters if best is not None else search.initial
    if runs.is_finished(search.run):
        return parameters
    with runs.recording_in(search.run) as recorder:
        recorder.params({f"best.{k}": v for k, v in parameters.values.items()})
        rows = tuning.history(opened)
        recorder.metrics({"trials": len(rows), "pruned": sum(r.state == "pruned" for r in rows)})
        recorder.params({"steps": ", ".join(str(rung.steps) for rung in opened.rungs())})
        if best is not None:
            recorder.metrics({"val/balanced_accuracy": best.value, "best_trial": best.number})
        recorder.metrics({f"importance/{name}": share for name, share in tuning.importance(opened).items()})
        recorder.figure(tuning_figures.history_figure(rows), "figures/history.png")
        recorder.figure(tuning_figures.importance_figure(tuning.importance(opened)), "figures/importance.png")
        recorder.json([r.model_dump(mode="json") for r in rows], "trials.json")
    return parameters


def trial_name(trial: TrialSpec, arms: Sequence[ArmConfig], config: TuningConfig) -> str:
    """A trial; where each arm has a search of its own, with the arm; with halving, with the steps of its rung."""
    name = f"trial {trial.number}" if config.scope == "shared" else f"{arms[0].name} trial {trial.number}"
    return f"{name}, {trial.steps} steps" if config.pruner == "halving" else name


def _score(best_score: float | None) -> float:
    if best_score is None:
        raise errors.DataError("tuning needs validation images; add some, or set tuning.trials to 0")
    return best_score


def _open(search: refs.SearchRef) -> Search:
    from synaug_core.classify import tuning

    return tuning.open_study(
        settings().tuning_storage, search.study, seed=search.seed, config=search.config, initial=search.initial
    )
