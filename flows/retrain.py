"""The main job: from images to a compared and registered classifier."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import flow, tags

from flows.ledger import Ledger
from flows.outcome import Outcome, outcome_of
from flows.search import tune
from flows.sweep import close_dead_runs, process_tag, untagged_steps
from flows.workers import default_runner, task_runner
from synaug_core.classify.search_space import Tuned
from synaug_core.config import Config
from synaug_core.refs import DatasetRef, ImageSetRef, RepetitionRef, RunRef
from tasks.choices import check_choices
from tasks.comparison import compare_arms, open_arms, record_arms
from tasks.dataset import prepare_dataset, read_fingerprint
from tasks.generators import fit_group, group_classes
from tasks.machine import worker_count
from tasks.naming import group_name
from tasks.outcome import comparison_page_path, read_comparison, show_in_prefect
from tasks.registry import register_best
from tasks.repetition import train_repetition
from tasks.retraining import adopt_runs, close_retraining, fail_retraining, open_retraining
from tasks.synthesis import classes_to_fill, synthesise_group

__all__ = ["retrain", "run_retrain"]

Synthetic = dict[str, tuple[ImageSetRef, ...]]


@flow(name="retrain", persist_result=False, task_runner=default_runner())
def retrain(config: Config = Config()) -> Outcome:  # noqa: B008 - frozen; Prefect shows its fields as a form
    """Learn each class, make the missing images, train with and without them, compare, register, perhaps promote.

    Run again unchanged, it finds everything done; killed and run again, it goes on where it stopped.
    """
    with untagged_steps():
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
    with ledger.stage("dataset"):
        prepared = prepare_dataset.submit(config.name, config.data, fingerprint, config.seed, run)
        [dataset] = ledger.gather("dataset", [(config.name, prepared)])
        adopt_runs(run, (dataset.run_id,))
        syntheses = tuple(arm.synthesis for arm in config.arms if arm.synthesis is not None)
        check_choices(dataset, config.generator, syntheses, config.classifier, config.tuning)
    run = run.model_copy(update={"tags": run.tags | {"synaug.dataset_digest": dataset.digest}})
    synthetic = _make_images(config, dataset, run, ledger)
    tuned = tune(config, dataset, synthetic, run, ledger)
    repetitions = _train_arms(config, dataset, synthetic, tuned, run, ledger)
    with ledger.stage("comparison"):
        submitted = compare_arms.submit(dataset, config, synthetic, tuple(repetitions), run)
        [comparison] = ledger.gather("comparison", [("arms", submitted)])
        record_arms(config.arms, comparison, tuple(repetitions), run)
    registered = None
    if config.promotion.enabled:
        with ledger.stage("registration"):
            registered = register_best(
                dataset, comparison, config.promotion, config.evaluation, config.seed, config.compute, run
            )
    compared = read_comparison(comparison)
    show_in_prefect(dataset, compared, run)
    outcome = outcome_of(dataset, compared, comparison_page_path(comparison), registered, run, ledger.account())
    close_retraining(config, run, outcome.verdict, outcome.best_arm, outcome.seconds)
    return outcome


def _make_images(config: Config, dataset: DatasetRef, run: RunRef, ledger: Ledger) -> Synthetic:
    """The synthetic images of each arm; arms with equal synthesis share theirs."""
    wanted = {arm.name: arm.synthesis for arm in config.arms if arm.synthesis is not None}
    distinct = tuple({s.model_dump_json(): s for s in wanted.values()}.values())
    classes = classes_to_fill(dataset, distinct) if distinct else ()
    if not classes:
        return {arm.name: () for arm in config.arms}
    with ledger.stage("generator"):
        groups = group_classes(dataset, classes, config.generator, config.compute, worker_count(config.compute))
        fits = [
            (group_name(group), fit_group.submit(dataset, group, config.generator, config.seed, config.compute, run))
            for group in groups
        ]
        generators = ledger.gather("generator", fits)
    with ledger.stage("synthesis"):
        jobs = [(synthesis, generator) for synthesis in distinct for generator in generators]
        made = ledger.gather(
            "synthesis",
            [
                (
                    f"{synthesis.strategy} {group_name(generator.classes)}",
                    synthesise_group.submit(dataset, generator, synthesis, config.seed, config.compute, run),
                )
                for synthesis, generator in jobs
            ],
        )
    adopt_runs(run, tuple(r.run_id for r in (*generators, *made)))
    by_synthesis = {
        synthesis.model_dump_json(): tuple(m for m, (s, _) in zip(made, jobs, strict=True) if s == synthesis)
        for synthesis in distinct
    }
    return {
        arm.name: by_synthesis[arm.synthesis.model_dump_json()] if arm.synthesis is not None else ()
        for arm in config.arms
    }


def _train_arms(
    config: Config,
    dataset: DatasetRef,
    synthetic: Synthetic,
    tuned: Mapping[str, Tuned],
    run: RunRef,
    ledger: Ledger,
) -> list[RepetitionRef]:
    """Every repetition of every arm; the arms of one repetition are a pair."""
    with ledger.stage("training"):
        parents = open_arms(config.arms, run)
        return ledger.gather(
            "training",
            [
                (
                    f"{arm.name} {repetition}",
                    train_repetition.submit(
                        dataset,
                        arm,
                        repetition,
                        synthetic[arm.name],
                        config.classifier,
                        tuned[arm.name],
                        config.seed,
                        config.compute,
                        parents[arm.name],
                    ),
                )
                for repetition in range(config.repetitions)
                for arm in config.arms
            ],
        )
