"""Probes of trained classifiers: one run as a step, and what all runs add to arms and report."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from synaug_core import seeds
from synaug_core.config.probes import ProbeConfig
from synaug_core.evaluate.results import Comparison
from synaug_core.probes import base, registry
from synaug_core.refs import ProbeRef, Reference, RepetitionRef
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import Tag
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import step

__all__ = ["arm_metrics", "load_measurement", "report_sections", "run_probe"]


@step
def run_probe(
    name: str,
    context: Context,
    repetitions: tuple[RepetitionRef, ...],
    config: ProbeConfig,
    compared: base.ComparedArms | None,
) -> ProbeRef:
    """Run a probe on one training, or on the first trainings of all arms where it compares them."""
    probe, label = registry.PROBES[name], registry.PROBES[name].label
    subject: dict[str, Any] = {}
    if not probe.compares_arms:
        [repetition] = repetitions
        subject = {"arm": repetition.arm, "repetition": repetition.repetition}
        label = f"{repetition.arm} {repetition.repetition}"
    tags = {Tag.ARM: subject["arm"], Tag.SEED: str(subject["repetition"])} if subject else None
    trainings: dict[str, list[base.Training]] = {}
    for r in repetitions:
        training = base.Training(
            r.repetition,
            partial(storage.load_classifier, r.classifier),
            partial(storage.load_predictions, r.predictions),
        )
        trainings.setdefault(r.arm, []).append(training)
    with (
        recording.recorded(name, f"{name} {label}" if subject else name, context.run, tags) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        measurement = probe.run(
            base.ProbeInput(
                dataset=context.dataset.name,
                test=storage.load_images(context.dataset.test),
                trainings=trainings,
                config=config,
                compared=compared,
                seed=seeds.derive(context.seed, name),
                device=device,
                progress=recording.progress(name, label),
            )
        )
        settings = config.model_dump(exclude=set(probe.breadth))
        recorder.params(settings | (compared.model_dump() if compared is not None else {}))
        recorder.metrics(probe.metrics(measurement.result))
        recorder.tags(probe.tags(measurement.result))
        for file, picture in measurement.pictures.items():
            recorder.figure(picture, f"figures/{file}")
        stored = _store(recorder, probe, measurement)
    return ProbeRef(**stored.model_dump(), probe=name, **subject)


def load_measurement(reference: ProbeRef) -> base.Measurement[Any]:
    """What was measured, and the pictures that were made of it."""
    probe, path, pictures = registry.PROBES[reference.probe], artifacts.fetch(reference), {}
    for file in probe.pictures:
        if (path / file).exists():
            with Image.open(path / file) as picture:
                pictures[file] = picture.convert("RGB")
    document = path / f"{probe.name}.json" if probe.pictures else path
    return base.Measurement(probe.result_type.model_validate_json(document.read_bytes()), reference.arm, pictures)


def report_sections(references: Sequence[ProbeRef], comparison: Comparison) -> list[base.ReportSection]:
    """What each probe that ran shows in the report."""
    of_probe = {name: [load_measurement(r) for r in references if r.probe == name] for name in registry.PROBES}
    return [registry.PROBES[name].report_section(those, comparison) for name, those in of_probe.items() if those]


def arm_metrics(references: Sequence[ProbeRef], arm: str) -> dict[str, float]:
    """What the probes of an arm's trainings add to the metrics of the arm's run."""
    metrics: dict[str, float] = {}
    for name, probe in registry.PROBES.items():
        if results := [load_measurement(r).result for r in references if (r.probe, r.arm) == (name, arm)]:
            metrics |= probe.arm_metrics(results)
    return metrics


def _store(recorder: Recorder, probe: base.Probe[Any, Any], measurement: base.Measurement[Any]) -> Reference:

    text, file = measurement.result.model_dump_json(indent=1), f"{probe.name}.json"
    if not probe.pictures:
        return storage.store_text(recorder, text, file)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / probe.name
        local.mkdir()
        (local / file).write_text(f"{text}\n", encoding="utf-8")
        for name, picture in measurement.pictures.items():
            picture.save(local / name)
        uri, sha256 = artifacts.put_folder(recorder.run, local, probe.name)
    return Reference(uri=uri, sha256=sha256, run_id=recorder.run.run_id)
