"""The search for hyper-parameters, in rounds: ask, train side by side, tell."""

from __future__ import annotations

from synaug_core import digests
from synaug_core.classify.tuned import TrialSpec, Tuned
from synaug_core.config import ArmConfig, ClassifierConfig, ComputeConfig, TuningConfig
from synaug_core.refs import DatasetRef, ImageSetRef, RunRef, SearchRef, TrialResult, identity
from synaug_core.services.settings import settings
from tasks.recording import checkpoint, recorded
from tasks.reporting import progress
from tasks.slots import device_slot
from tasks.step import action, step

__all__ = ["ask_trials", "finish_search", "open_search", "run_trial", "tell_trials"]


@action
def open_search(
    dataset: DatasetRef,
    arms: tuple[ArmConfig, ...],
    synthetic: dict[str, tuple[ImageSetRef, ...]],
    classifier: ClassifierConfig,
    config: TuningConfig,
    seed: int,
    parent: RunRef,
) -> SearchRef:
    """The study of this search, and its MLflow run: new ones, or those an earlier try began."""
    from synaug_core.seeds import derive
    from synaug_core.services.tracking import open_run

    what = identity([dataset, arms, synthetic, classifier, config, seed])
    key = digests.of_value([what, digests.code_version("config", "data", "nets", "classify")])
    names = ", ".join(arm.name for arm in arms)
    run = open_run(
        settings(), experiment=parent.experiment, key=key, stage="tuning", name=f"tuning {names}", parent=parent
    )
    return SearchRef(
        study=key[:40], storage=settings().tuning_storage, seed=derive(seed, "tuning", names), config=config, run=run
    )


@action
def ask_trials(search: SearchRef) -> tuple[TrialSpec, ...]:
    """The next round: trials that a killed run left first; none when the search is complete."""
    from synaug_core.classify import tuning

    return tuning.ask(_study(search), search.config, seed=search.seed)


@step("data", "nets", "classify")
def run_trial(
    dataset: DatasetRef,
    arms: tuple[ArmConfig, ...],
    synthetic: dict[str, tuple[ImageSetRef, ...]],
    config: ClassifierConfig,
    search: SearchRef,
    trial: TrialSpec,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> TrialResult:
    """Train every arm of the search with the trial's parameters; the value is their mean balanced accuracy on the
    validation images. Every trial has the same initial weights and batches, so that only the parameters differ."""
    from synaug_core.classify import tuning
    from synaug_core.classify.training import train
    from synaug_core.seeds import derive
    from tasks.loading import load_images
    from tasks.training_data import training_images

    steps = search.config.steps or max(1, config.steps // 2)
    fitted = trial.parameters.apply(config).model_copy(update={"steps": steps})
    judge = tuning.TrialJudge(_study(search), search.config, trial, parts=len(arms))
    name = f"trial {trial.number}"
    with recorded("trial", name, parent, expected=(tuning.Pruned,)) as recorder, device_slot(compute) as device:
        recorder.params(trial.parameters.model_dump(exclude_none=True) | {"number": trial.number})
        return TrialResult(number=trial.number, value=0.0, run_id=recorder.run.run_id)
