"""The main job: from images to a compared and registered classifier."""

from typing import Any

from prefect import flow, get_run_logger, tags
from prefect.states import Completed

from flows import process, workers
from flows.learning import compare_by_probes, divide, gather_probes, learn, shared_test_part
from flows.outcome import Outcome, build_outcome
from flows.selection import list_selections, note_selections, select_classifiers
from flows.stages import Stages
from synaug_core import preflight, refs
from synaug_core.classify.search_space import note_unsearched
from synaug_core.config import Config
from synaug_core.config.effort import note_effort
from synaug_core.evaluate.results import Comparison
from tasks import arms, promotion, report, retraining
from tasks.engine.recording import end_steps_on_failure
from tasks.fingerprint import read_fingerprint
from tasks.probes import attacks_on_all

__all__ = ["retrain", "run_retrain"]


@flow(
    name="retrain",
    flow_run_name=process.dated("{config.name}"),
    persist_result=False,
    task_runner=workers.default_runner(),
)
def retrain(config: Config = Config()) -> Outcome:
    """Learn each class, make the missing images, train with and without them, compare, register, perhaps promote.

    Run again unchanged, it finds everything done; killed and run again, it goes on where it stopped.
    """
    with process.untagged_steps(), process.sigterm_as_ctrl_c(), process.libraries_aside(), end_steps_on_failure():
        process.keep_freed_memory()
        preflight.check_config(config)
        log = get_run_logger().info
        stages = Stages(log)
        fingerprint = read_fingerprint(config.data)
        run = retraining.open_retraining(config, fingerprint)
        try:
            outcome = _retrain(config, fingerprint, run, stages)
            for line in outcome.lines():
                log(line)
            ended: Outcome = _completed(outcome)
            return ended
        except Exception as error:
            retraining.fail_retraining(run, str(error))
            raise
        except BaseException:  # Ctrl-C, or a server that cancels the run
            retraining.fail_retraining(run, "interrupted", "KILLED")
            raise


def _completed(outcome: Outcome) -> Any:
    """The state of a flow run that ended well, with the verdict as its message; whoever called the flow gets the
    outcome."""
    return Completed(message=outcome.sentence, data=outcome)


def run_retrain(config: Config) -> Outcome:
    """`retrain` in this process, with as many workers as the configuration or the machine has."""
    process.close_dead_runs(retrain.name)
    with process.libraries_aside(), tags(process.process_tag()):
        return retrain.with_options(task_runner=workers.task_runner(config.compute))(config)


def _retrain(config: Config, fingerprint: str, run: refs.RunRef, stages: Stages) -> Outcome:
    run, divisions = divide(config, fingerprint, run, stages)
    first = shared_test_part(config, divisions)
    dataset = first.dataset
    arms.check_choices(dataset, config)
    arm_runs = arms.open_arms(config.arms, run)
    selected = select_classifiers(config, divisions, stages)
    config = selected[0].config
    learning = learn([division.config for division in selected], divisions, arm_runs, stages)
    repetitions = learning.repetitions
    # what attacks found is compared too, where every training was attacked; else the comparison need not wait
    early = learning.probes if config.attacks_every_training else ()
    measurements = gather_probes(early, stages)
    with stages.timed("comparison"):
        attacks, folds = attacks_on_all(measurements, repetitions), config.data.split.folds
        trained = (first.context.below(run), config.arms, repetitions, config.evaluation, folds, attacks)
        comparing = stages.submit("comparison", arms.compare_arms, [("arms", trained)])
        [comparison_ref] = stages.gather(comparing, adopt_below=run)
    comparison = report.read_comparison(comparison_ref)
    comparing_probes = compare_by_probes(config, first, repetitions, comparison, run, stages)
    measurements += gather_probes((*learning.probes[len(early) :], *comparing_probes), stages)
    notes = (
        *note_effort(config.effort),
        *note_selections(selected),
        *learning.notes(),
        *config.notes_on_enlarged(dataset.image_size),
        *config.notes_on_candidates(),
        *note_unsearched(config.tuning, config.arms),
        *comparison.remarks,
        *_about_registering(config, comparison),
    )
    synthetic, registered = learning.images[0].synthetic, None
    compare_page = report.find_compare_page(arm_runs, comparison)
    facts = dataset, comparison, comparison_ref, synthetic, run, compare_page
    if config.promotion.enabled and config.data.split.folds is None:
        [behind] = (d.context for d in divisions if comparison_ref.best.repetition in d.repetitions)
        with stages.timed("registration"):
            gate = config.promotion, config.evaluation, arm_runs[comparison_ref.best.arm], report.describe(*facts, "")
            registered = promotion.register_best(behind.below(run), comparison_ref, *gate)
    model = registered.decision if registered else ""
    with stages.timed("report"):
        quality, chosen = learning.reports(), list_selections(selected)
        page = (dataset, config, comparison_ref, synthetic, quality, measurements, notes, chosen, model)
        writing = stages.submit("report", report.write_report, [("page", page)])
        arm_records = [
            arms.record_arm.submit(arm, arm_runs[arm.name], comparison_ref, repetitions, measurements, dataset)
            for arm in config.arms
        ]
        [page_ref] = stages.gather(writing)
        for record in arm_records:
            record.result()
    description = report.describe(*facts, model)
    report.show_in_prefect(dataset, comparison, comparison_ref, run, description)
    outcome = build_outcome(
        dataset,
        comparison,
        report.find_address(page_ref),
        registered,
        learning.by_arm(config),
        (*report.read_data_notes(dataset), *notes, *retraining.note_shared_name(config)),
        run,
        compare_page,
        stages.account(),
    )
    if len(divisions) > 1:
        retraining.close_divisions(tuple(division.context.run for division in divisions))
    ending = retraining.Ending(
        verdict=outcome.verdict,
        best_arm=outcome.best_arm,
        headline=comparison.headline(),
        seconds=outcome.seconds,
        compare_page=compare_page,
        description=description,
        dataset_run_id=dataset.run_id,
    )
    retraining.close_retraining(config, run, ending)
    return outcome


def _about_registering(config: Config, comparison: Comparison) -> tuple[str, ...]:
    if not config.promotion.enabled:
        return ()
    choice = comparison.choice
    if config.data.split.folds is None and choice is not None and choice.arm != comparison.best_arm:
        return (f"the model of {choice.arm} is registered: {choice.reason}",)
    if config.data.split.folds is not None:
        return ("a cross-validation registers no model: between them its trainings have seen every image",)
    return ()
