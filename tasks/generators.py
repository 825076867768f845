"""One generative model a class, a group of classes in one step."""

from PIL.Image import Image

from synaug_core import code_reach, devices, names, refs, seeds
from synaug_core.config import GeneratorConfig
from synaug_core.data import imageset
from synaug_core.generators import base, grouping, registry
from synaug_core.report import sheets
from synaug_core.report.figures.training import fit_figure
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import Tag
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context, group_name
from tasks.engine.step import action, step

__all__ = ["fit_group", "group_classes"]


@action
def group_classes(context: Context, classes: tuple[str, ...], config: GeneratorConfig) -> tuple[tuple[str, ...], ...]:
    """Which classes are fitted in one step: by configuration, data and kind of device, whatever workers there are.

    A kind with one model for all classes learns all that have images, whichever are asked for.
    """
    dataset = context.dataset
    if registry.find(config.kind).joint:
        return (tuple(name for name in dataset.classes if dataset.train.counts[name]),)
    counts = {name: dataset.train.counts[name] for name in classes}
    return grouping.groups(counts, config, device_type=devices.resolve(context.compute.device).type)


@step
def fit_group(
    context: Context,
    classes: tuple[str, ...],
    config: GeneratorConfig,
) -> refs.GeneratorRef:
    """Fit the models of a group of classes on their training images."""
    dataset = context.dataset
    name, short = f"{config.kind} {group_name(classes)}", names.slugs(dataset.classes)
    saved = recording.checkpoint()
    with recording.recorded("generator", name, context.run) as recorder:
        with machine.device_slot(context.compute) as device:
            train = storage.load_images(dataset.train)
            generator = registry.create(config, classes, dataset.channels, dataset.image_size)
            seed, show = seeds.derive(context.seed, "generator"), recording.progress("generator", name)
            generator.fit(train, base.FitJob(seed, device, show, saved, context.compute.deadline))
            sheet = _reconstructions(generator, train)
        reference = storage.store_generator(recorder, generator)
        facts = {"image_size": generator.learnt_size, "classes": ", ".join(classes)}
        recorder.params(config.model_dump() | facts)
        for class_name, report in generator.reports.items():
            for curve, steps, values in report.series():
                recorder.curve(f"{curve}/{short[class_name]}", steps, values)
            recorder.details(report.metrics(short[class_name]))
        recorder.json({c: r.model_dump(mode="json") for c, r in generator.reports.items()}, "fit_report.json")
        _draw(recorder, generator, sheet)
        if reference.notes:
            recorder.tags({Tag.NOTES: "; ".join(reference.notes)})
    saved.clear()
    return reference


@code_reach.records_only
def _reconstructions(generator: base.Generator, train: imageset.ImageSet) -> Image | None:
    """Training images beside what the generator makes of them: the one picture that needs its device."""
    return sheets.reconstruction(generator, train)


@code_reach.records_only
def _draw(recorder: Recorder, generator: base.Generator, sheet: Image | None) -> None:

    recorder.figure(fit_figure(generator.reports), "figures/training.png")
    if sheet is not None:
        recorder.figure(sheet, "figures/reconstructions.png")
