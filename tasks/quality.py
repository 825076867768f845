"""Is a set of synthetic images any good? Distances, variety, copying, labels, usefulness. Nothing depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core import code_reach, refs
from synaug_core.config import ClassifierConfig, QualityConfig, SynthesisConfig
from tasks.engine import recording, slots
from tasks.engine.context import Context
from tasks.engine.progress import progress
from tasks.engine.step import step

if TYPE_CHECKING:
    from synaug_core.quality.report import QualityReport
    from synaug_core.services.mlflow.recorder import Recorder

__all__ = ["assess_images"]

_CONTROL = SynthesisConfig(strategy="reconstruct", filters=None)


@step
def assess_images(
    context: Context,
    name: str,
    synthetic: tuple[refs.SyntheticRef, ...],
    generators: tuple[refs.GeneratorRef, ...],
    target: refs.ClassifierRef,
    judges: tuple[refs.JudgesRef, ...],
    classifier: ClassifierConfig,
    config: QualityConfig,
) -> refs.QualityRef:
    """Judge the images against held-out real ones, beside reconstructions of the training images where there are."""
    from synaug_core.data.imageset import concatenate
    from synaug_core.generators.base import LatentGenerator
    from synaug_core.quality.assess import assess
    from synaug_core.quality.usefulness import measure_usefulness
    from synaug_core.seeds import derive
    from synaug_core.synthesis.make import synthesise
    from tasks.engine import loading, storing

    dataset = context.dataset
    saved = {part: recording.checkpoint(f"-{part}") for part in ("real", "synthetic")}
    show = progress("quality", name)
    with (
        recording.recorded("quality", f"quality {name}", context.run) as recorder,
        slots.device_slot(context.compute) as device,
    ):
        device_name, train, held_out = str(device), loading.load_images(dataset.train), loading.load_images(dataset.val)
        images = concatenate([loading.load_images(reference) for reference in synthetic])
        fitted = [loading.load_generator(reference, device_name) for reference in generators]
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
            useful = measure_usefulness(
                train,
                images,
                held_out,
                classifier,
                seed=derive(context.seed, "usefulness"),
                device=device,
                progress=show,
                deadline=context.compute.deadline,
                checkpoint_for=saved.__getitem__,
            )
        report = assess(
            train,
            held_out,
            images,
            features_by=loading.load_classifier(target, device_name),
            config=config,
            seed=derive(context.seed, "quality"),
            judges=loading.load_judges(judges, device_name),
            reconstruction=concatenate(controls) if controls else None,
            usefulness=useful,
        )
        _record(recorder, report, name=f"{dataset.name}: {name}")
        reference = storing.store_quality(recorder, report)
    for state in saved.values():
        state.clear()
    return reference


@code_reach.records_only
def _record(recorder: Recorder, report: QualityReport, name: str) -> None:
    from synaug_core.report.quality import quality_page

    recorder.metrics(report.metrics())
    recorder.text(quality_page(report, name=name), "quality.html")
