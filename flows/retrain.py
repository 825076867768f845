"""The main job: from images to a compared and registered classifier."""

from __future__ import annotations

from prefect import flow, tags

from flows.learning import divide, learn
from flows.outcome import Outcome, outcome_of
from flows.probes import run_probes
from flows.process import close_dead_runs, libraries_aside, process_tag, sigterm_as_ctrl_c, untagged_steps
from flows.stages import Stages
from flows.workers import default_runner, task_runner
from synaug_core.config import Config
from synaug_core.data.checks import untested
from synaug_core.preflight import check_config
from synaug_core.refs import RunRef
from tasks.choices import check_choices
from tasks.comparison import compare_arms, open_arms, record_arm
from tasks.dataset import read_fingerprint
from tasks.engine.cancelling import unwanted_on_failure
from tasks.outcome import place_of, read_comparison, show_in_prefect
from tasks.promotion import register_best
from tasks.report import write_report
from tasks.retraining import about_name, close_folds, close_retraining, fail_retraining, open_retraining

__all__ = ["retrain", "run_retrain"]


@flow(name="retrain", flow_run_name="{config.name}", persist_result=False, task_runner=default_runner())
def retrain(config: Config = Config()) -> Outcome:
    """Learn each class, make the missing images, train with and without them, compare, register, perhaps promote.

    Run again unchanged, it finds everything done; killed and run again, it goes on where it stopped.
    """
    with untagged_steps(), sigterm_as_ctrl_c(), libraries_aside(), unwanted_on_failure():
        check_config(config)
        stages = Stages()
        fingerprint = read_fingerprint(config.data)
        run = open_retraining(config, fingerprint)
        try:
            return _retrain(config, fingerprint, run, stages)
        except Exception as error:
            fail_retraining(run, str(error))
            raise
        except BaseException:  # Ctrl-C, or a server that cancels the run
            fail_retraining(run, "interrupted", "KILLED")
            raise


def run_retrain(config: Config) -> Outcome:
    """`retrain` in this process, with as many workers as the configuration or the machine has."""
    close_dead_runs(retrain.name)
    with libraries_aside(), tags(process_tag()):
        return retrain.with_options(task_runner=task_runner(config.compute))(config)


def _retrain(config: Config, fingerprint: str, run: RunRef, stages: Stages) -> Outcome:
    run, divisions = divide(config, fingerprint, run, stages)
    first = divisions[0]
    dataset = first.dataset
    check_choices(dataset, config)
    arm_runs = open_arms(config.arms, run)
    learning = learn(config, divisions, arm_runs, stages)
    repetitions = learning.repetitions
    measurements = run_probes(config, first, repetitions, arm_runs, run, stages)
    with stages.timed("comparison"):
        comparing = stages.submit("comparison", compare_arms, [("arms", (dataset, config, repetitions, run))])
        [comparison_ref] = stages.gather(comparing, adopt_below=run)
    comparison = read_comparison(comparison_ref)
    measurements += run_probes(config, first, repetitions, arm_runs, run, stages, comparison)
    notes = (*untested(dataset.test.counts), *learning.notes(), *_about_registering(config))
    with stages.timed("report"):
        synthetic, quality = learning.images[0].synthetic, learning.reports()
        page = (dataset, config, comparison_ref, synthetic, quality, measurements, notes)
        writing = stages.submit("report", write_report, [("page", page)])
        arms = [record_arm.submit(a, arm_runs[a.name], comparison_ref, repetitions, measurements) for a in config.arms]
        [page_ref] = stages.gather(writing)
        for recorded_arm in arms:
            recorded_arm.result()
    registered = None
    if config.promotion.enabled and len(divisions) == 1:
        with stages.timed("registration"):
            registered = register_best(first.context.below(run), comparison_ref, config.promotion, config.evaluation)
    show_in_prefect(dataset, comparison, comparison_ref, run)
    outcome = outcome_of(
        dataset,
        comparison,
        place_of(page_ref),
        registered,
        learning.by_arm(config),
        (*notes, *about_name(config)),
        run,
        stages.account(),
    )
    if len(divisions) > 1:
        close_folds(tuple(division.context.run for division in divisions))
    close_retraining(config, run, outcome.verdict, outcome.best_arm, outcome.seconds)
    return outcome


def _about_registering(config: Config) -> tuple[str, ...]:
    if config.promotion.enabled and config.data.split.folds is not None:
        return ("a cross-validation registers no model: between them its trainings have seen every image",)
    return ()
