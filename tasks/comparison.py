"""The arms side by side: figures with intervals, the contrast that counts, the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.config import ArmConfig, Config
from synaug_core.refs import ComparisonRef, DatasetRef, ProbeRef, RepetitionRef, RunRef
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import settings
from tasks.engine.recording import recorded
from tasks.engine.step import action, step
from tasks.probes import arm_metrics

if TYPE_CHECKING:
    from synaug_core.evaluate.reliability import Reliability
    from synaug_core.evaluate.results import Comparison

__all__ = ["compare_arms", "open_arms", "record_arm"]


@action
def open_arms(arms: tuple[ArmConfig, ...], parent: RunRef) -> dict[str, RunRef]:
    """One run for each arm, below which its repetitions lie."""
    from synaug_core.services.mlflow.runs import open_run

    return {
        arm.name: open_run(
            settings(),
            experiment=parent.experiment,
            key=f"arm/{arm.name}",
            stage="arm",
            name=arm.name,
            parent=parent,
            tags={Tag.ARM: arm.name},
        )
        for arm in arms
    }


@step
def compare_arms(
    dataset: DatasetRef,
    config: Config,
    repetitions: tuple[RepetitionRef, ...],
    parent: RunRef,
) -> ComparisonRef:
    """Every figure of every arm from the stored predictions, and the verdict."""
    from synaug_core.evaluate.comparison import compare
    from synaug_core.seeds import derive
    from tasks.engine import loading, storing

    with recorded("comparison", "comparison", parent) as recorder:
        ordered = sorted(repetitions, key=lambda r: r.repetition)
        by_arm = {arm.name: [r for r in ordered if r.arm == arm.name] for arm in config.arms}
        comparison = compare(
            {name: [loading.load_predictions(r.predictions) for r in trainings] for name, trainings in by_arm.items()},
            {name: [r.validation for r in trainings] for name, trainings in by_arm.items()},
            controls=[arm.name for arm in config.arms if arm.is_control],
            train_counts=dataset.train.counts,
            config=config.evaluation,
            seed=derive(config.seed, "comparison"),
            folds=config.data.split.folds,
        )
        reliability = {name: _reliability(trainings, comparison, config) for name, trainings in by_arm.items()}
        comparison = comparison.model_copy(update={"reliability": reliability})
        best = max(by_arm[comparison.best_arm], key=lambda r: (r.validation, -r.repetition))
        recorder.tags({Tag.VERDICT: comparison.verdict, Tag.BEST_ARM: comparison.best_arm})
        return storing.store_comparison(recorder, comparison, best)


def _reliability(trainings: Sequence[RepetitionRef], comparison: Comparison, config: Config) -> Reliability:
    from synaug_core.evaluate.reliability import reliability
    from synaug_core.seeds import derive
    from tasks.engine.loading import load_predictions

    return reliability(
        [load_predictions(r.predictions) for r in trainings],
        [load_predictions(r.validated) for r in trainings],
        rarest=comparison.rarest_class,
        precision=config.evaluation.precision,
        confidence=config.evaluation.confidence,
        resamples=config.evaluation.resamples,
        seed=derive(config.seed, "reliability"),
    )


@action
def record_arm(
    arm: ArmConfig,
    run: RunRef,
    comparison: ComparisonRef,
    repetitions: tuple[RepetitionRef, ...],
    probes: tuple[ProbeRef, ...],
) -> None:
    """An arm's means, intervals and figures on its run; repetitions of earlier retrainings are adopted below it."""
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.report.figures.comparison import arm_confusion
    from synaug_core.report.figures.training import history_figure
    from synaug_core.services.mlflow import artifacts, runs
    from tasks.engine.loading import load_comparison

    trainings = [r for r in repetitions if r.arm == arm.name]
    for repetition in trainings:
        runs.adopt(repetition.run_id, run)
    if runs.is_finished(run):
        return
    compared = load_comparison(comparison)
    with runs.recording_in(run) as recorder:
        recorder.params(arm.model_dump())
        recorder.metrics(compared.flat_metrics(arm.name) | arm_metrics(probes, arm.name))
        recorder.figure(arm_confusion(compared, arm.name), "figures/confusion.png")
        histories = {
            f"repetition {r.repetition}": TrainedClassifier.history_in(artifacts.fetch(r.classifier)) for r in trainings
        }
        recorder.figure(history_figure(histories), "figures/training.png")
