"""Many retrainings of one configuration with some keys varied: ablations, learning curves, scale."""

from prefect import flow, tags

from flows import process, workers
from flows.retrain import retrain
from synaug_core import errors, frozen
from synaug_core.config.sweep import SweepConfig, cells
from synaug_core.evaluate.results import Comparison
from synaug_core.evaluate.sweep import SweepResult, sweep_result
from tasks.engine.progress_bus import Event, publish
from tasks.report import record_sweep

__all__ = ["SweepOutcome", "run_sweep", "sweep"]


class SweepOutcome(frozen.Frozen):
    """What a sweep came to; its JSON is what `synaug sweep --json` writes."""

    run_id: str
    experiment: str
    page: str
    sentence: str
    result: SweepResult


@flow(name="sweep", flow_run_name=process.dated("sweep"), persist_result=False, task_runner=workers.default_runner())
def sweep(config: SweepConfig = SweepConfig()) -> SweepOutcome:
    """One retraining for each combination, each with the budget of its own configuration, and one page for all.

    Combinations share what they have in common; run again, a sweep finds what is done. One that fails does not stop
    the others: its reason stands in its place.
    """
    comparisons: list[Comparison | str] = []
    runs: list[str] = []
    pages: list[str | None] = []
    combinations = cells(config)
    with process.sigterm_as_ctrl_c(), workers.shared_runners() as runner_of:
        publish(Event("sweep", "", 0, len(combinations)))
        for cell in combinations:
            name = ", ".join(cell.labels.values())
            publish(Event("sweep", name, 0, 1, opens=True))
            try:
                runner = runner_of(cell.config.compute)
                title = process.dated(f"{{config.name}}, {process.as_text(name)}")
                outcome = retrain.with_options(task_runner=runner, flow_run_name=title)(cell.config)
            except errors.SynaugError as error:
                comparisons.append(str(error))
                runs.append("")
                pages.append(None)
                publish(Event("sweep", name, 1, 1, state="failed"))
            else:
                if outcome.comparison is None:
                    raise RuntimeError("a retraining in this process brings its comparison")
                comparisons.append(outcome.comparison)
                runs.append(outcome.run_id)
                pages.append(outcome.comparison_page)
                publish(Event("sweep", name, 1, 1, state="done"))
        result = sweep_result(tuple(config.grid), [cell.labels for cell in combinations], comparisons, runs, pages)
        experiment = f"synaug/{combinations[0].config.name}"
        run, page = record_sweep(experiment, config, result)
    return SweepOutcome(run_id=run.run_id, experiment=experiment, page=page, sentence=result.sentence, result=result)


def run_sweep(config: SweepConfig) -> SweepOutcome:
    """`sweep` in this process."""
    process.close_dead_runs(sweep.name)
    process.close_dead_runs(retrain.name)
    with tags(process.process_tag()):
        return sweep(config)
