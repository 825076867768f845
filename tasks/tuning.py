"""The search for hyper-parameters, in rounds: ask, train side by side, tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core import digests, errors, frozen, refs
from synaug_core.classify.search_space import TrialSpec, Tuned, as_configured
from synaug_core.config import ArmConfig, ClassifierConfig, TuningConfig
from synaug_core.progress import part_of
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import settings
from tasks.engine import keys, naming, recording, slots
from tasks.engine.context import Context
from tasks.engine.progress import progress
from tasks.engine.step import action, step

if TYPE_CHECKING:
    from synaug_core.classify.tuning import Search

__all__ = ["ask_trials", "ended_trials", "enter_results", "finish_search", "open_search", "run_trial"]

Synthetic = dict[str, tuple[refs.SyntheticRef, ...]]
Online = dict[str, tuple[refs.GeneratorRef, ...]]


@action
def open_search(
    context: Context,
    arms: tuple[ArmConfig, ...],
    synthetic: Synthetic,
    online: Online,
    classifier: ClassifierConfig,
    config: TuningConfig,
) -> refs.SearchRef:
    """The study of this search, and its MLflow run: new ones, or those an earlier try began."""
    from synaug_core.seeds import derive
    from synaug_core.services.mlflow.runs import open_run

    dataset = context.dataset
    key = digests.of_value(
        [
            frozen.identity([dataset, arms, synthetic, online, classifier, config, context.seed]),
            keys.step_code(run_trial),
        ]
    )
    names = ", ".join(arm.name for arm in arms)
    run = open_run(
        settings(),
        experiment=context.run.experiment,
        key=key,
        stage="tuning",
        name=f"tuning {names}",
        parent=context.run,
    )
    initial = as_configured(classifier)
    return refs.SearchRef(
        study=key, seed=derive(context.seed, "tuning", names), config=config, initial=initial, run=run
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
    online: Online,
    config: ClassifierConfig,
    search: refs.SearchRef,
    trial: TrialSpec,
) -> refs.TrialResult:
    """Train every arm of the search with the trial's parameters; the value is their mean balanced accuracy on the
    validation images. All trials have the same initial weights and batches: only the parameters differ."""
    from synaug_core import errors, seeds
    from synaug_core.classify import training, tuning
    from tasks.engine.loading import load_images
    from tasks.training import online_synthesis, training_images

    dataset = context.dataset
    opened = _open(search)
    steps = config.steps_or_half(search.config.steps)
    fitted = trial.parameters.apply(config).model_copy(update={"steps": steps})
    show = progress("tuning", naming.trial_name(trial.number, arms, search.config))
    saved = [recording.checkpoint(f"-{arm.name}") for arm in arms]
    scores: list[float] = []
    value: float | None = None
    with (
        recording.recorded("trial", f"trial {trial.number}", context.run) as recorder,
        slots.device_slot(context.compute) as device,
    ):
        recorder.params({**trial.parameters.values, "number": trial.number, "steps": steps})
        try:
            for arm, state in zip(arms, saved, strict=True):
                classifier = training.train(
                    fitted,
                    arm,
                    training_images(dataset, arm, synthetic[arm.name], trial.parameters.values.get("synthetic_share")),
                    load_images(dataset.val),
                    init_seed=seeds.derive(context.seed, "init", "tuning"),
                    batch_seed=seeds.derive(context.seed, "batches", "tuning", arm.name),
                    device=device,
                    progress=part_of(show, before=len(scores) * steps, total_steps=len(arms) * steps),
                    checkpoint=state,
                    deadline=context.compute.deadline,
                    on_evaluation=tuning.watch(opened, trial, steps=steps, scores=tuple(scores)),
                    online=online_synthesis(dataset, arm, online[arm.name], fitted, device),
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
    from synaug_core.services.mlflow.runs import adopt

    opened = _open(search)
    for trial, result in zip(trials, results, strict=True):
        tuning.end_trial(opened, trial, result.value, pruned=result.value is None)
        adopt(result.run_id, search.run)


@action
def finish_search(search: refs.SearchRef) -> Tuned:
    """The best parameters; with the figures of the search on its run."""
    from synaug_core.classify import tuning, tuning_figures
    from synaug_core.services.mlflow.runs import is_finished, recording_in

    opened = _open(search)
    best = tuning.find_best_trial(opened)
    parameters = best.parameters if best is not None else search.initial
    if is_finished(search.run):
        return parameters
    with recording_in(search.run) as recorder:
        recorder.params({f"best.{k}": v for k, v in parameters.values.items()})
        rows = tuning.history(opened)
        recorder.metrics({"trials": len(rows), "pruned": sum(r.state == "pruned" for r in rows)})
        if best is not None:
            recorder.metrics({"val/balanced_accuracy": best.value, "best_trial": best.number})
        recorder.metrics({f"importance/{name}": share for name, share in tuning.importance(opened).items()})
        recorder.figure(tuning_figures.history_figure(rows), "figures/history.png")
        recorder.figure(tuning_figures.importance_figure(tuning.importance(opened)), "figures/importance.png")
        recorder.json([r.model_dump(mode="json") for r in rows], "trials.json")
    return parameters


def _score(best_score: float | None) -> float:
    if best_score is None:
        raise errors.DataError("tuning needs validation images; add some, or set tuning.trials to 0")
    return best_score


def _open(search: refs.SearchRef) -> Search:
    from synaug_core.classify import tuning

    return tuning.open_study(
        settings().tuning_storage, search.study, seed=search.seed, config=search.config, initial=search.initial
    )
