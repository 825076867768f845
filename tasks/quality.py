"""Is a set of synthetic images any good? Distances, variety, copying, labels, usefulness. Nothing depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.code_reach import records_only
from synaug_core.config import ClassifierConfig, QualityConfig, SynthesisConfig
from synaug_core.refs import (
    ClassifierRef,
    GeneratorRef,
    JudgesRef,
    QualityRef,
    SyntheticRef,
)
from tasks.engine.context import Context
from tasks.engine.progress import progress
from tasks.engine.recording import checkpoint, recorded
from tasks.engine.slots import device_slot
from tasks.engine.step import step

if TYPE_CHECKING:
    from synaug_core.quality.report import QualityReport
    from synaug_core.services.mlflow.tracking import Recorder

__all__ = ["assess_images"]

_CONTROL = SynthesisConfig(strategy="reconstruct", filters=None)


@step
def assess_images(
    context: Context,
    name: str,
    synthetic: tuple[SyntheticRef, ...],
    generators: tuple[GeneratorRef, ...],
    target: ClassifierRef,
    judges: tuple[JudgesRef, ...],
    classifier: ClassifierConfig,
    config: QualityConfig,
) -> QualityRef:
    """Judge the images against held-out real ones, beside reconstructions of the training images where there are."""
    from synaug_core.data.imageset import concatenate
    from synaug_core.generators.base import LatentGenerator
    from synaug_core.quality.assess import assess
    from synaug_core.quality.usefulness import usefulness
    from synaug_core.seeds import derive
    from synaug_core.synthesis.make import synthesise
    from tasks.engine.loading import load_classifier, load_generator, load_images, load_judges
    from tasks.engine.storing import store_quality

    dataset = context.dataset
    saved = {part: checkpoint(f"-{part}") for part in ("real", "synthetic")}
    show = progress("quality", name)
    with recorded("quality", f"quality {name}", context.run) as recorder, device_slot(context.compute) as device:
        device_name, train, held_out = str(device), load_images(dataset.train), load_images(dataset.val)
        images = concatenate([load_images(reference) for reference in synthetic])
        fitted = [load_generator(reference, device_name) for reference in generators]
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
            useful = usefulness(
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
            features_by=load_classifier(target, device_name),
            config=config,
            seed=derive(context.seed, "quality"),
            judges=load_judges(judges, device_name),
            reconstruction=concatenate(controls) if controls else None,
            usefulness=useful,
        )
        _record(recorder, report, name=f"{dataset.name}: {name}")
        reference = store_quality(recorder, report)
    for state in saved.values():
        state.clear()
    return reference


@records_only
def _record(recorder: Recorder, report: QualityReport, name: str) -> None:
    from synaug_core.report.quality import quality_page

    recorder.metrics(report.metrics())
    recorder.text(quality_page(report, name=name), "quality.html")
