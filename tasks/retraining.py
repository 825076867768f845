"""The parent run of one retraining: opened, taken up, ended."""

from collections.abc import Mapping
from typing import Literal

from prefect.runtime import flow_run

from synaug_core import digests, frozen, names, refs
from synaug_core.config import Config
from synaug_core.services import versions
from synaug_core.services.mlflow import retrainings, runs
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.settings import child_environment, settings
from tasks.engine.step import action

__all__ = [
    "Ending",
    "adopt_runs",
    "close_divisions",
    "close_left",
    "close_retraining",
    "fail_retraining",
    "note_shared_name",
    "open_divisions",
    "open_retraining",
]


@action
def open_retraining(config: Config, fingerprint: str) -> refs.RunRef:
    """The run of this configuration on these data with this code: a new one, or the one that was begun or done.

    Runs of this experiment that died without saying so are closed first.
    """
    code = digests.code_version()
    config_digest = digests.of_value(frozen.identity(config))
    experiment = f"synaug/{config.name}"
    runs.reap(settings(), experiment)
    return runs.open_run(
        settings(),
        experiment=experiment,
        key=digests.of_value([config_digest, fingerprint, code]),
        stage="retrain",
        name=f"retrain {names.time_text()}",
        tags={
            Tag.DATASET: config.name,
            Tag.CONFIG_DIGEST: config_digest,
            Tag.CODE_VERSION: code,
            Tag.FLOW_RUN: str(flow_run.id),
        },
    )


@action
def note_shared_name(config: Config) -> tuple[str, ...]:
    """A note where retrainings of other data bear the same name: they share the registered model."""
    sources = sorted(retrainings.sources_of(settings(), f"synaug/{config.name}") - {str(config.data.source)})
    if not sources:
        return ()
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return (
        f"the name {config.name} is also that of retrainings of {sources[0]}{more}, which share the experiment and the "
        f"registered model; if those are other data, set `name`",
    )


@action
def open_divisions(parent: refs.RunRef, word: str, digests: tuple[str, ...]) -> tuple[refs.RunRef, ...]:
    """A run for each fold of a cross-validation, or for each draw, below which lies what is made from its training
    images; `word` says what they are."""
    return tuple(
        runs.open_run(
            settings(),
            experiment=parent.experiment,
            key=f"{word}/{number}",
            stage=word,
            name=f"{word} {number + 1} of {len(digests)}",
            parent=parent,
            tags={Tag.DATASET_DIGEST: digest},
        )
        for number, digest in enumerate(digests)
    )


@action
def close_divisions(divisions: tuple[refs.RunRef, ...]) -> None:
    """End the runs of the folds or draws well."""
    for run in divisions:
        if not runs.is_finished(run):
            runs.finish(run)


@action
def adopt_runs(parent: refs.RunRef, run_ids: tuple[str, ...]) -> None:
    """Show steps whose results come from an earlier retraining among this one's runs."""
    for run_id in run_ids:
        runs.adopt(run_id, parent)


class Ending(frozen.Frozen):
    """What a retraining came to, for its run: a reader of the experiment's list looks no further.

    Attributes:
        verdict: of the comparison.
        best_arm: the best on the validation images.
        headline: the few metrics by which retrainings are compared.
        seconds: of each stage.
        compare_page: MLflow's page with the chosen arms side by side, behind MLflow's address.
        description: all of it as Markdown.
        dataset_run_id: the run that holds the data sets.
    """

    verdict: str
    best_arm: str
    headline: dict[str, float]
    seconds: dict[str, float]
    compare_page: str
    description: str
    dataset_run_id: str


@action
def close_retraining(config: Config, run: refs.RunRef, ending: Ending) -> None:
    """End the parent run well, with what came of it; of one that is found done, note when."""
    if runs.is_finished(run):
        retrainings.note_asked(run)
        return
    runs.add_inputs(run, ending.dataset_run_id)
    runs.describe_experiment(run, ending.description)
    with runs.recording_in(run) as recorder:
        recorder.tags(run.tags | {Tag.VERDICT: ending.verdict, Tag.BEST_ARM: ending.best_arm})
        recorder.tags({Tag.NOTE: ending.description, Tag.COMPARE_PAGE: ending.compare_page})
        recorder.metrics(ending.headline)
        recorder.params(config.model_dump(mode="json", exclude={"arms"}) | {"arms": [a.name for a in config.arms]})
        recorder.metrics({f"seconds/{stage}": value for stage, value in ending.seconds.items()})
        recorder.json(config.model_dump(mode="json"), ArtifactPath.CONFIG)
        recorder.json(versions.environment(), "environment.json")


@action
def fail_retraining(run: refs.RunRef, reason: str, status: Literal["FAILED", "KILLED"] = "FAILED") -> None:
    """End the parent run with the reason, and what is still open below it."""
    runs.finish(run, status, reason)
    runs.reap(settings(), run.experiment, below=run)


@action
def close_left(flow_runs: tuple[str, ...], reason: str, variables: Mapping[str, str]) -> int:
    """End what flow runs that have died left open in MLflow, and say how many runs that were. `variables` are those
    that they were given on top of this process's."""
    current = settings(child_environment(settings(), **variables))
    return len(retrainings.close_runs_of(current, flow_runs, reason))
