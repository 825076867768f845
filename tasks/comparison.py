"""The arms side by side: figures with intervals, the contrast that counts, the page."""

from __future__ import annotations

from synaug_core.config import ArmConfig, EvaluationConfig
from synaug_core.refs import ComparisonRef, DatasetRef, ImageSetRef, RepetitionRef, RunRef
from synaug_core.services.settings import settings
from tasks.recording import recorded
from tasks.step import action, step

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
    arms: tuple[ArmConfig, ...],
    synthetic: dict[str, tuple[ImageSetRef, ...]],
    repetitions: tuple[RepetitionRef, ...],
    config: EvaluationConfig,
    seed: int,
    parent: RunRef,
) -> ComparisonRef:
    """Every figure of every arm from the stored predictions, the verdict, and one page that shows them."""
    from synaug_core.evaluate.comparison import compare
    from synaug_core.report.page import comparison_page
    from synaug_core.seeds import derive
    from tasks.loading import load_predictions
    from tasks.storing import store_json

    with recorded("comparison", "comparison", parent) as recorder:
        of_arm = {arm.name: [r for r in repetitions if r.arm == arm.name] for arm in arms}
        comparison = compare(
            {name: [load_predictions(r.predictions) for r in found] for name, found in of_arm.items()},
            {name: [r.validation for r in found] for name, found in of_arm.items()},
            controls=[arm.name for arm in arms if arm.is_control],
            train_counts=dataset.train.counts,
            config=config,
            seed=derive(seed, "comparison"),
        )
        best = max(of_arm[comparison.best_arm], key=lambda r: (r.validation, -r.repetition))
        recorder.text(comparison_page(comparison), "comparison.html")
        return ComparisonRef(
            **store_json(recorder, comparison.model_dump_json(), "comparison.json"), best=best
        )


@action
def record_arms(
    arms: tuple[ArmConfig, ...], comparison: ComparisonRef, repetitions: tuple[RepetitionRef, ...], parent: RunRef
) -> None:
    """Each arm's means, intervals and figures on its run; repetitions of earlier retrainings are adopted below it."""
