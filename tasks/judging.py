"""Classifiers trained on real images only: the target of targeted synthesis, the judges, the space of distances."""

from synaug_core import checkpoints, refs
from synaug_core.config import ArmConfig, ClassifierConfig, JudgeConfig
from tasks.engine import recording, slots
from tasks.engine.context import Context
from tasks.engine.progress import progress
from tasks.engine.step import step

__all__ = ["fit_judges", "fit_target", "share_judges"]

_ARM = ArmConfig(name="target", sampling="balanced", augmentation="traditional")
"""The best that real images alone can do: what a target or a judge has to be."""


@step
def fit_target(
    context: Context,
    number: int,
    config: ClassifierConfig,
) -> refs.ClassifierRef:
    """A classifier trained on the real training images, with the configured parameters; `number` is its seed."""
    from synaug_core.classify.training import train
    from synaug_core.seeds import derive
    from tasks.engine import loading, storing

    saved = recording.checkpoint()
    with (
        recording.recorded("target", f"target {number}", context.run) as recorder,
        slots.device_slot(context.compute) as device,
    ):
        classifier = train(
            config,
            _ARM,
            loading.load_images(context.dataset.train),
            loading.load_images(context.dataset.val),
            init_seed=derive(context.seed, "init", "target", number),
            batch_seed=derive(context.seed, "batches", "target", number),
            device=device,
            progress=progress("judge", f"target {number}"),
            checkpoint=saved,
            deadline=context.compute.deadline,
        )
        recorder.params(config.model_dump() | {"number": number})
        for evaluation in classifier.history.evaluations:
            recorder.metrics(evaluation.model_dump(exclude={"step"}), evaluation.step)
        reference = storing.store_classifier(recorder, classifier)
    saved.clear()
    return reference


def share_judges(config: JudgeConfig) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The judges that are trained in one step, by the step's name: of each judge the folds that it leaves out.

    There are as many steps as folds, for workers to share; the number of workers has no say in what a step is."""
    from synaug_core.quality.judge import split_panel

    parts = split_panel(config.folds)
    return {f"judges {n} of {len(parts)}": part for n, part in enumerate(parts, start=1)}


@step
def fit_judges(
    context: Context,
    name: str,
    leaving_out: tuple[tuple[int, ...], ...],
    classifier: ClassifierConfig,
    config: JudgeConfig,
) -> refs.JudgesRef:
    """Classifiers that each left out some folds of the training images, to judge labels of images made from those."""
    from synaug_core import names, seeds
    from synaug_core.quality.consistency import measure_real_consistency
    from synaug_core.quality.judge import Judges
    from tasks.engine import loading, storing

    saved: dict[str, checkpoints.Checkpoint] = {}

    def checkpoint_for(judge: str) -> checkpoints.Checkpoint:
        return saved.setdefault(judge, recording.checkpoint(f"-{judge}"))

    with recording.recorded("judge", name, context.run) as recorder, slots.device_slot(context.compute) as device:
        train = loading.load_images(context.dataset.train)
        judges = Judges.fit(
            train,
            classifier,
            config,
            seed=seeds.derive(context.seed, "judges"),
            device=device,
            leaving_out=leaving_out,
            progress=progress("judge", name),
            deadline=context.compute.deadline,
            checkpoint_for=checkpoint_for,
        )
        short = names.slugs(context.dataset.classes)
        recorder.params(classifier.model_dump() | config.model_dump(include={"folds", "steps"}))
        for label, consistency in measure_real_consistency(judges, train).items():
            recorder.metrics(
                {
                    f"agreement/{short[label]}": consistency.agreement,
                    f"label_probability/{short[label]}": consistency.probability,
                }
            )
        reference = storing.store_judges(recorder, judges)
    for state in saved.values():
        state.clear()
    return reference
