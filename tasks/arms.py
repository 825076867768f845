"""The arms: checked against the images, opened, compared with intervals and a verdict, and recorded."""

from collections.abc import Sequence
from statistics import fmean

from synaug_core import seeds
from synaug_core.classify import model
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ArmConfig, Config, EvaluationConfig
from synaug_core.evaluate import choice, comparison, reliability, results
from synaug_core.generators import registry
from synaug_core.refs import ComparisonRef, DatasetRef, ProbeRef, RepetitionRef, RunRef
from synaug_core.report.figures import comparison as comparison_figures
from synaug_core.report.figures import training as training_figures
from synaug_core.services.mlflow import artifacts, runs
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import settings
from synaug_core.synthesis import oracle, plan
from synaug_core.synthesis import registry as strategies
from tasks.engine import recording, storage
from tasks.engine.context import Context
from tasks.engine.step import action, step
from tasks.probes import arm_metrics, measure_attacked

__all__ = ["check_choices", "compare_arms", "open_arms", "record_arm"]


@step
def check_choices(dataset: DatasetRef, config: Config) -> bool:
    """Refuse what these images cannot serve: a plan, a generator or a backbone; and weights that cannot be had.

    What needs no image was refused before: `synaug_core.preflight`.
    """
    channels, size = dataset.channels, dataset.image_size
    for arm in config.arms:
        _check_arm(dataset, config, arm)
    if config.classifier.is_named:  # candidates are built where they are tried
        halves = (0.5,) * channels
        model.build(
            config.classifier, channels=channels, size=size, classes=dataset.classes, seed=0, mean=halves, std=halves
        )
    return True


def _check_arm(dataset: DatasetRef, config: Config, arm: ArmConfig) -> None:
    def check(generator: str) -> None:
        registry.create(config.generator_named(generator), dataset.classes, dataset.channels, dataset.image_size)

    if (synthesis := arm.synthesis) is not None:
        planned = plan.plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        entry = strategies.find(synthesis.strategy)
        if entry.generator:
            check(synthesis.generator)
        if entry.held_back:
            oracle.check_held_back(planned, dataset.held_back.counts if dataset.held_back is not None else {})
    if arm.online is not None:
        check(arm.online.generator)


@action
def open_arms(arms: tuple[ArmConfig, ...], parent: RunRef) -> dict[str, RunRef]:
    """One run for each arm, below which its repetitions lie."""
    return {
        arm.name: runs.open_run(
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
    context: Context,
    arms: tuple[ArmConfig, ...],
    repetitions: tuple[RepetitionRef, ...],
    config: EvaluationConfig,
    folds: int | None,
    attacks: tuple[ProbeRef, ...] = (),
) -> ComparisonRef:
    """Every figure of every arm from the stored predictions, and the verdict; `attacks`: on every training, if any."""
    with recording.recorded("comparison", "comparison", context.run) as recorder:
        ordered = sorted(repetitions, key=lambda r: r.repetition)
        by_arm = {arm.name: [r for r in ordered if r.arm == arm.name] for arm in arms}
        test, validation = (
            {name: [storage.load_predictions(getattr(r, part)) for r in refs] for name, refs in by_arm.items()}
            for part in ("predictions", "validation_predictions")
        )
        compared = comparison.compare(
            test,
            {name: [r.validation for r in trainings] for name, trainings in by_arm.items()},
            controls=[arm.name for arm in arms if arm.is_control],
            positive_controls=[arm.name for arm in arms if arm.is_positive_control],
            train_counts=context.dataset.train.counts,
            config=config,
            seed=seeds.derive(context.seed, "comparison"),
            folds=folds,
            validated=validation,
            attacked=measure_attacked(attacks),
        )
        seed, rarest = seeds.derive(context.seed, "reliability"), compared.rarest_class
        by_name = {name: _measure_reliability(trainings, rarest, config, seed) for name, trainings in by_arm.items()}
        with_images = {name: r.model_copy(update=_images_used(by_arm[name])) for name, r in compared.arms.items()}
        chosen = choice.choose_arm(
            validation,
            [a.name for a in _by_simplicity(arms)],
            gain=results.judged_arm(compared) if compared.verdict == "gain" else None,
        )
        odd = choice.remarks(test, validation, shared_test_part=folds is None)
        compared = compared.model_copy(
            update={"reliability": by_name, "arms": with_images, "choice": chosen, "remarks": odd}
        )
        best = max(by_arm[chosen.arm], key=lambda r: (r.validation, -r.repetition))
        recorder.tags({Tag.VERDICT: compared.verdict, Tag.BEST_ARM: compared.best_arm})
        recorder.metrics({k: v for k, v in compared.headline().items() if k.startswith("difference/")})
        recorder.details(compared.difference_metrics())
        return storage.store_comparison(recorder, compared, best)


def _images_used(trainings: Sequence[RepetitionRef]) -> dict[str, dict[str, float]]:
    """Fields of an arm's result: real and synthetic training images of each class, means over its trainings."""
    used = {
        "real_images": [t.real_images for t in trainings],
        "synthetic_images": [t.synthetic_images for t in trainings],
    }
    return {field: {c: fmean(n.get(c, 0) for n in counts) for c in counts[0]} for field, counts in used.items()}


def _by_simplicity(arms: Sequence[ArmConfig]) -> list[ArmConfig]:
    """Arms that may be registered: controls first, then those with fewer ingredients, then as they stand."""
    candidates = [arm for arm in arms if not arm.is_positive_control]
    return sorted(candidates, key=lambda arm: (not arm.is_control, arm.ingredients))


def _measure_reliability(
    trainings: Sequence[RepetitionRef], rarest: str, config: EvaluationConfig, seed: int
) -> reliability.Reliability:
    """How far an arm's probabilities can be trusted, on the test and the validation images."""
    return reliability.reliability(
        [storage.load_predictions(r.predictions) for r in trainings],
        [storage.load_predictions(r.validation_predictions) for r in trainings],
        rarest=rarest,
        precision=config.precision,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=seed,
    )


@action
def record_arm(
    arm: ArmConfig,
    run: RunRef,
    reference: ComparisonRef,
    repetitions: tuple[RepetitionRef, ...],
    probes: tuple[ProbeRef, ...],
    dataset: DatasetRef,
) -> None:
    """An arm's means, intervals and figures on its run; repetitions of earlier retrainings are adopted below it."""
    trainings = [r for r in repetitions if r.arm == arm.name]
    for repetition in trainings:
        runs.adopt(repetition.run_id, run)
    if runs.is_finished(run):
        return
    compared = storage.load_comparison(reference)
    runs.add_inputs(run, dataset.run_id)
    with runs.recording_in(run) as recorder:
        recorder.params(arm.model_dump())
        recorder.metrics(compared.flat_metrics(arm.name) | arm_metrics(probes, arm.name))
        recorder.figure(comparison_figures.arm_confusion_png(compared, arm.name), "figures/confusion.png")
        histories = {
            f"repetition {r.repetition}": TrainedClassifier.history_in(artifacts.fetch(r.classifier)) for r in trainings
        }
        recorder.figure(training_figures.history_figure(histories), "figures/training.png")
