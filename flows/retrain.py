"""The main job: from images to a compared and registered classifier."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import flow, tags

from flows.dead_runs import close_dead_runs, process_tag, untagged_steps
from flows.images import Images, judge_images, make_images, of_arms
from flows.ledger import Ledger
from flows.outcome import Outcome, outcome_of
from flows.search import tune
from flows.signals import sigterm_as_ctrl_c
from flows.workers import default_runner, task_runner
from synaug_core.classify.search_space import Tuned
from synaug_core.config import Config
from synaug_core.refs import DatasetRef, RepetitionRef, RunRef
from tasks.choices import check_choices
from tasks.comparison import compare_arms, open_arms, record_arms
from tasks.dataset import prepare_dataset, read_fingerprint
from tasks.outcome import comparison_page_path, read_comparison, show_in_prefect
from tasks.registry import register_best
from tasks.repetition import train_repetition
from tasks.retraining import adopt_runs, close_retraining, fail_retraining, open_retraining

__all__ = ["retrain", "run_retrain"]


@flow(name="retrain", persist_result=False, task_runner=default_runner())
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
    with ledger.stage("dataset"):
        prepared = prepare_dataset.submit(config.name, config.data, fingerprint, config.seed, run)
        [dataset] = ledger.gather("dataset", [(config.name, prepared)])
        adopt_runs(run, (dataset.run_id,))
        check_choices(dataset, config)
    run = run.model_copy(update={"tags": run.tags | {"synaug.dataset_digest": dataset.digest}})
    images = make_images(config, dataset, run, ledger)
    judged = judge_images(config, dataset, images, run)
    tuned = tune(config, dataset, images, run, ledger)
    repetitions = _train_arms(config, dataset, images, tuned, run, ledger)
    with ledger.stage("quality"):
        found = ledger.gather("quality", list(judged.values()))
        adopt_runs(run, tuple(quality.run_id for quality in found))
    with ledger.stage("comparison"):
        submitted = compare_arms.submit(dataset, config, images.synthetic, tuple(repetitions), run)
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
    outcome = outcome_of(
        dataset,
        compared,
        comparison_page_path(comparison),
        registered,
        of_arms(config, images, judged, found),
        images.notes(),
        run,
        ledger.account(),
    )
    close_retraining(config, run, outcome.verdict, outcome.best_arm, outcome.seconds)
    return outcome


def _train_arms(
    config: Config,
    dataset: DatasetRef,
    images: Images,
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
                        images.synthetic[arm.name],
                        images.online[arm.name],
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
