"""A sweep's own run: its table, its figures, its page."""

from synaug_core import digests, refs
from synaug_core.config.sweep import SweepConfig
from synaug_core.evaluate.sweep import SweepResult
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.settings import settings
from tasks.engine.step import action

__all__ = ["record_sweep"]


@action
def record_sweep(experiment: str, config: SweepConfig, result: SweepResult) -> tuple[refs.RunRef, str]:
    """The run of this sweep, and where its page lies: a path where the store is local, else its address."""
    from synaug_core.metrics import shown_in
    from synaug_core.report.sweep import sweep_figure, sweep_page
    from synaug_core.services.mlflow.runs import open_run, recording_in
    from tasks.engine.storing import store_text
    from tasks.outcome import place_of

    config_digest = digests.of_value(config.model_dump(mode="json"))
    run = open_run(
        settings(),
        experiment=experiment,
        key=digests.of_value([config_digest, result.model_dump(mode="json", exclude={"cells": {"__all__": {"page"}}})]),
        stage="sweep",
        name=f"sweep {config_digest[:8]}",
        tags={Tag.CONFIG_DIGEST: config_digest},
    )
    with recording_in(run) as recorder:
        recorder.params({"keys": ", ".join(result.varied), "combinations": len(result.cells)})
        recorder.metrics({"gains": sum(cell.verdict == "gain" for cell in result.cells)})
        recorder.json(config.model_dump(mode="json"), ArtifactPath.CONFIG)
        recorder.json(result.model_dump(mode="json"), "sweep.json")
        for metric in shown_in("sweep"):
            recorder.figure(sweep_figure(result, metric.name), f"figures/{metric.name}.png")
        page = store_text(
            recorder, sweep_page(result, name=experiment.removeprefix("synaug/"), config=config.base), "sweep.html"
        )
    return run, place_of(page)
