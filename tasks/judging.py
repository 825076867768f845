"""Classifiers trained on real images only: the target of targeted synthesis, the judges, and what they say of a set of
synthetic images: distances, variety, copying, labels, usefulness.
"""

from synaug_core import checkpoints, code_reach, names, refs, seeds
from synaug_core.classify import training
from synaug_core.config import ArmConfig, ClassifierConfig, JudgeConfig, QualityConfig, SynthesisConfig
from synaug_core.data import imageset
from synaug_core.generators.base import LatentGenerator
from synaug_core.quality import assess, consistency, features, judge, report, usefulness
from synaug_core.report.quality import quality_page
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.synthesis.make import synthesise
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import action, step

__all__ = ["assess_images", "find_extractor", "fit_judges", "fit_target", "share_judges"]

_ARM = ArmConfig(name="target", sampling="balanced", augmentation="traditional")
"""The best that real images alone can do: what a target or a judge has to be."""
_CONTROL = SynthesisConfig(strategy="reconstruct", filters=None)
"""Reconstructions of training images, beside which synthetic ones are judged."""


@action
def find_extractor(dataset: refs.DatasetRef, classifier: ClassifierConfig) -> features.Extractor:
    """The frozen backbone by whose features real and synthetic images are described, if its weights can be had."""
    return features.find_extractor(classifier, channels=dataset.channels, size=dataset.image_size)


@step
def fit_target(
    context: Context,
    number: int,
    config: ClassifierConfig,
) -> refs.ClassifierRef:
    """A classifier trained on the real training images, with the configured parameters; `number` is its seed."""
    saved = recording.checkpoint()
    with (
        recording.recorded("target", f"target {number}", context.run) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        classifier = training.train(
            training.TrainingJob(
                config,
                _ARM,
                storage.load_images(context.dataset.train),
                storage.load_images(context.dataset.val),
                init_seed=seeds.derive(context.seed, "init", "target", number),
                batch_seed=seeds.derive(context.seed, "batches", "target", number),
                device=device,
                precision=context.compute.precision,
                progress=recording.progress("judge", f"target {number}"),
                checkpoint=saved,
                deadline=context.compute.deadline,
            )
        )
        recorder.params(config.model_dump() | {"number": number})
        for evaluation in classifier.history.evaluations:
            recorder.metrics(evaluation.model_dump(exclude={"step"}), evaluation.step)
        reference = storage.store_classifier(recorder, classifier)
    saved.clear()
    return reference


def share_judges(config: JudgeConfig) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The judges that are trained in one step, by the step's name: of each judge the folds that it leaves out.

    There are as many steps as folds, for workers to share; the number of workers has no say in what a step is. On a
    frozen backbone there is one, as the features of the images are most of the work and serve all judges."""
    if config.training == "frozen":
        return {"judges": judge.plan_panel(config.fold_count)}
    parts = judge.split_panel(config.fold_count)
    return {f"judges {n} of {len(parts)}": part for n, part in enumerate(parts, start=1)}


@step
def fit_judges(
    context: Context,
    name: str,
    leaving_out: tuple[tuple[int, ...], ...],
    classifier: ClassifierConfig,
    config: JudgeConfig,
) -> refs.JudgesRef:
    """Classifiers that each left out some folds of the training images, to judge labels of images made from those;
    `classifier` is the run's, or that of the frozen backbone below them."""
    saved: dict[str, checkpoints.Checkpoint] = {}

    def checkpoint_for(name: str) -> checkpoints.Checkpoint:
        return saved.setdefault(name, recording.checkpoint(f"-{name}"))

    with recording.recorded("judge", name, context.run) as recorder, machine.device_slot(context.compute) as device:
        train = storage.load_images(context.dataset.train)
        judges = judge.Judges.fit(
            train,
            classifier,
            config,
            seed=seeds.derive(context.seed, "judges"),
            device=device,
            precision=context.compute.precision,
            leaving_out=leaving_out,
            progress=recording.progress("judge", name),
            deadline=context.compute.deadline,
            checkpoint_for=checkpoint_for,
        )
        short = names.slugs(context.dataset.classes)
        recorder.params(classifier.model_dump() | {"folds": judges.folds, "steps": config.steps})
        for label, agreement in consistency.measure_real_consistency(judges, train).items():
            recorder.details(
                {
                    f"agreement/{short[label]}": agreement.agreement,
                    f"label_probability/{short[label]}": agreement.probability,
                }
            )
        reference = storage.store_judges(recorder, judges)
    for state in saved.values():
        state.clear()
    return reference


@step
def assess_images(
    context: Context,
    name: str,
    synthetic: tuple[refs.SyntheticRef, ...],
    generators: tuple[refs.GeneratorRef, ...],
    target: refs.ClassifierRef | None,
    extractor: ClassifierConfig | None,
    judges: tuple[refs.JudgesRef, ...],
    classifier: ClassifierConfig,
    config: QualityConfig,
) -> refs.QualityRef:
    """Judge the images against held-out real ones, beside reconstructions of the training images where there are; in
    the features of the frozen backbone `extractor`, or of the classifier `target`."""
    dataset = context.dataset
    saved = {part: recording.checkpoint(f"-{part}") for part in ("real", "synthetic")}
    show = recording.progress("quality", name)
    with recording.recorded("quality", f"quality {name}", context.run) as recorder:
        with machine.device_slot(context.compute) as device:
            train, held_out = storage.load_images(dataset.train), storage.load_images(dataset.val)
            device_name = str(device)
            images = imageset.concatenate([storage.load_images(reference) for reference in synthetic])
            fitted = [storage.load_generator(reference, device_name) for reference in generators]
            present = {c: min(n, config.most) for c, n in train.counts().items() if images.counts()[c]}
            controls = [
                synthesise(
                    g, train, {c: n for c, n in present.items() if c in g.classes}, _CONTROL, seed=context.seed
                ).images
                for g in fitted
                if isinstance(g, LatentGenerator)
            ]
            useful = None
            if config.usefulness and len(held_out):
                useful = usefulness.measure_usefulness(
                    train,
                    images,
                    held_out,
                    classifier,
                    seed=seeds.derive(context.seed, "usefulness"),
                    device=device,
                    precision=context.compute.precision,
                    progress=show,
                    deadline=context.compute.deadline,
                    checkpoint_for=saved.__getitem__,
                )
            points_of = _points_of(target, extractor, train, device_name)
            assessed = assess.assess(
                train,
                held_out,
                images,
                points_of=points_of,
                config=config,
                seed=seeds.derive(context.seed, "quality"),
                judges=storage.load_judges(judges, device_name),
                reconstruction=imageset.concatenate(controls) if controls else None,
                usefulness=useful,
                shown=classifier.shown_size(dataset.image_size),
            )
        _record(recorder, assessed, name=f"{dataset.name}: {name}")
        reference = storage.store_quality(recorder, assessed)
    for state in saved.values():
        state.clear()
    return reference


def _points_of(
    target: refs.ClassifierRef | None, extractor: ClassifierConfig | None, train: imageset.ImageSet, device: str
) -> features.Points:
    if extractor is not None:
        loaded = features.FrozenFeatures.load(extractor, channels=train.channels, size=train.size, device=device)
        return loaded.fit(train)
    if target is None:
        raise ValueError("quality is measured in the features of a frozen backbone or of a classifier")
    return features.ClassifierFeatures(storage.load_classifier(target, device))


@code_reach.records_only
def _record(recorder: Recorder, assessed: report.QualityReport, name: str) -> None:
    figures = assessed.metrics()
    means = {name: value for name, value in figures.items() if name.count("/") == 1}
    recorder.metrics(means)
    recorder.details({name: value for name, value in figures.items() if name not in means})
    recorder.text(quality_page(assessed, name=name), "quality.html")
