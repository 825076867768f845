"""The main job: from images to a compared and registered classifier."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow, tags
from prefect.futures import PrefectFuture

from flows.dead_runs import close_dead_runs, process_tag, untagged_steps
from flows.divisions import divide
from flows.images import Images, Judged, judge_images, make_images, of_arms
from flows.ledger import Ledger
from flows.outcome import Outcome, outcome_of
from flows.probes import disturb, explain
from flows.search import tune
from flows.signals import sigterm_as_ctrl_c
from flows.training import train_arms
from flows.workers import default_runner, task_runner
from synaug_core.config import Config
from synaug_core.refs import RepetitionRef, RunRef
from tasks.choices import check_choices
from tasks.comparison import compare_arms, open_arms, record_arms
from tasks.dataset import read_fingerprint
from tasks.outcome import read_comparison, show_in_prefect
from tasks.registry import register_best
from tasks.report import write_report
from tasks.retraining import adopt_runs, close_folds, close_retraining, fail_retraining, open_retraining

__all__ = ["retrain", "run_retrain"]


@flow(name="retrain", flow_run_name="{config.name}", persist_result=False, task_runner=default_runner())
def retrain(config: Config = Config()) -> Outcome:  # noqa: B008 - frozen; Prefect shows its fields as a form
    """Learn each class, make the missing images, train with and without them, compare, register, perhaps promote.

    Run again unchanged, it finds everything done; killed and run again, it goes on where it stopped.
    """
    with untagged_steps(), sigterm_as_ctrl_c():
        ledger = Ledger()
        fingerprint = read_fingerprint(config.data)
        run = open_retraining(config, fingerprint)
        try:
            return _retrain(config, fingerprint, run, ledger)
        except Exception as error:
            fail_retraining(run, str(error))
            raise
        except BaseException:  # Ctrl-C, or a server that cancels the run
            fail_retraining(run, "interrupted", "KILLED")
            raise


def run_retrain(config: Config) -> Outcome:
    """`retrain` in this process, with as many workers as the configuration or the machine has."""
    close_dead_runs(retrain.name)
    with tags(process_tag()):
        return retrain.with_options(task_runner=task_runner(config.compute))(config)


def _retrain(config: Config, fingerprint: str, run: RunRef, ledger: Ledger) -> Outcome:
    run, divisions = divide(config, fingerprint, run, ledger)
    dataset = divisions[0].dataset
    check_choices(dataset, config)
    parents = open_arms(config.arms, run)
    images: list[Images] = []
    judged: list[Judged] = []
    trained: list[tuple[str, PrefectFuture[RepetitionRef]]] = []
    for division in divisions:
        made = make_images(config, division.dataset, division.run, ledger)
        images.append(made)
        judged.append(judge_images(config, division.dataset, made, division.run))
        tuned = tune(config, division.dataset, made, division.run, ledger)
        trained += train_arms(config, division, made, tuned, parents)
    with ledger.stage("training"):
        repetitions = ledger.gather("training", trained)
    with ledger.stage("quality"):
        found = [ledger.gather("quality", list(parts.values())) for parts in judged]
        for division, parts in zip(divisions, found, strict=True):
            adopt_runs(division.run, tuple(quality.run_id for quality in parts))
    disturbed = disturb(config, divisions[0], repetitions, parents, ledger)
    with ledger.stage("comparison"):
        submitted = compare_arms.submit(dataset, config, tuple(repetitions), run)
        [comparison] = ledger.gather("comparison", [("arms", submitted)])
        record_arms(config.arms, comparison, tuple(repetitions), disturbed, run)
    compared = read_comparison(comparison)
    explained = explain(config, divisions[0], repetitions, compared, run, ledger)
    notes = _notes(config, images)
    with ledger.stage("report"):
        written = write_report.submit(
            dataset,
            config,
            comparison,
            images[0].synthetic,
            {name: quality for (name, _), quality in zip(judged[0].values(), found[0], strict=True)},
            disturbed,
            explained,
            notes,
        )
        [page] = ledger.gather("report", [("page", written)])
    registered = None
    if config.promotion.enabled and len(divisions) == 1:
        with ledger.stage("registration"):
            registered = register_best(
                dataset, comparison, config.promotion, config.evaluation, config.seed, config.compute, run
            )
    show_in_prefect(dataset, compared, comparison, run)
    outcome = outcome_of(
        dataset,
        compared,
        page.uri.removeprefix("file://"),
        registered,
        [of_arms(config, *parts) for parts in zip(images, judged, found, strict=True)],
        notes,
        run,
        ledger.account(),
    )
    if len(divisions) > 1:
        close_folds(tuple(division.run for division in divisions))
    close_retraining(config, run, outcome.verdict, outcome.best_arm, outcome.seconds)
    return outcome


def _notes(config: Config, images: Sequence[Images]) -> tuple[str, ...]:
    """What the user should know, each line once."""
    said = [note for made in images for note in made.notes()]
    if config.promotion.enabled and config.data.split.folds is not None:
        said.append("a cross-validation registers no model: between them its trainings have seen every image")
    return tuple(dict.fromkeys(said))
