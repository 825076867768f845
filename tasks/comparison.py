"""The arms side by side: figures with intervals, the contrast that counts, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.config import ArmConfig, Config
from synaug_core.refs import ComparisonRef, DatasetRef, RepetitionRef, RunRef, SyntheticRef
from synaug_core.services.settings import settings
from tasks.recording import recorded
from tasks.step import action, step

if TYPE_CHECKING:
    from synaug_core.evaluate.comparison import ArmResult

__all__ = ["compare_arms", "open_arms", "record_arms"]


@action
def open_arms(arms: tuple[ArmConfig, ...], parent: RunRef) -> dict[str, RunRef]:
    """One run for each arm, below which its repetitions lie."""
    from synaug_core.services.tracking import open_run

    return {
        arm.name: open_run(
            settings(),
            experiment=parent.experiment,
            key=f"arm/{arm.name}",
            stage="arm",
            name=arm.name,
            parent=parent,
            tags={"synaug.arm": arm.name},
        )
        for arm in arms
    }


@step("data", "evaluate", "report")
def compare_arms(
    dataset: DatasetRef,
    config: Config,
    synthetic: dict[str, tuple[SyntheticRef, ...]],
    repetitions: tuple[RepetitionRef, ...],
    parent: RunRef,
) -> ComparisonRef:
    """Every figure of every arm from the stored predictions, the verdict, and one page that shows them."""
    from synaug_core.evaluate.comparison import compare
    from synaug_core.report.figures.calibration import reliability_figure
    from synaug_core.report.figures.forest import forest_figure
    from synaug_core.report.figures.recall import recall_figure
    from synaug_core.report.page import comparison_page
    from synaug_core.seeds import derive
    from synaug_core.services.versions import environment
    from tasks.loading import load_predictions, load_report
    from tasks.sheets import sheets_of
    from tasks.storing import store_comparison

    with recorded("comparison", "comparison", parent) as recorder:
        of_arm = {arm.name: [r for r in repetitions if r.arm == arm.name] for arm in config.arms}
        comparison = compare(
            {name: [load_predictions(r.predictions) for r in found] for name, found in of_arm.items()},
            {name: [r.validation for r in found] for name, found in of_arm.items()},
            controls=[arm.name for arm in config.arms if arm.is_control],
            train_counts=dataset.train.counts,
            config=config.evaluation,
            seed=derive(config.seed, "comparison"),
        )
        best = max(of_arm[comparison.best_arm], key=lambda r: (r.validation, -r.repetition))
        recorder.tags({"synaug.verdict": comparison.verdict, "synaug.best_arm": comparison.best_arm})
        recorder.figure(forest_figure(comparison), "figures/forest.png")
        recorder.figure(recall_figure(comparison), "figures/recall_by_class.png")
        recorder.figure(reliability_figure(comparison), "figures/reliability.png")
        page = comparison_page(
            comparison,
            name=dataset.name,
            dataset=load_report(dataset),
            sheets=sheets_of(dataset, synthetic),
            config=config.model_dump(mode="json"),
            versions=environment(),
        )
        recorder.text(page, "comparison.html")
        return store_comparison(recorder, comparison, best)


@action
def record_arms(
    arms: tuple[ArmConfig, ...], comparison: ComparisonRef, repetitions: tuple[RepetitionRef, ...], parent: RunRef
) -> None:
    """Each arm's means, intervals and figures on its run; repetitions of earlier retrainings are adopted below it."""
    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.report.figures.classifier import history_figure
    from synaug_core.report.figures.confusion import arm_confusion
    from synaug_core.services.artifacts import fetch
    from synaug_core.services.tracking import adopt, is_finished, recording_in
    from tasks.loading import load_comparison

    adopt(comparison.run_id, parent)
    compared = load_comparison(comparison)
    for arm, run in open_arms.fn(arms, parent).items():
        for repetition in (r for r in repetitions if r.arm == arm):
            adopt(repetition.run_id, run)
        if is_finished(run):
            continue
        result = compared.arms[arm]
        with recording_in(run) as recorder:
            recorder.params(next(a for a in arms if a.name == arm).model_dump())
            recorder.metrics(_flat(result) | {"val/balanced_accuracy": result.validation})
            recorder.figure(arm_confusion(compared, arm), "figures/confusion.png")
            mine = {f"repetition {r.repetition}": r.classifier for r in repetitions if r.arm == arm}
            histories = {name: TrainedClassifier.history_in(fetch(ref)) for name, ref in mine.items()}
            recorder.figure(history_figure(histories), "figures/training.png")


def _flat(result: ArmResult) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, interval in result.metrics.items():
        found |= {
            f"test/{name}": interval.mean,
            f"test/{name}/low": interval.low,
            f"test/{name}/high": interval.high,
        }
    return found
