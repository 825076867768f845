"""Probes of trained classifiers: one run as a step, and what all runs add to arms and report."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synaug_core import seeds
from synaug_core.config.probes import ProbeConfig
from synaug_core.evaluate import variance
from synaug_core.evaluate.results import Comparison
from synaug_core.probes import base, registry
from synaug_core.probes.robustness.curves import Robustness
from synaug_core.probes.robustness.probe import RobustnessProbe
from synaug_core.refs import ProbeRef, Reference, RepetitionRef
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import Tag
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import step

__all__ = ["arm_metrics", "attacks_on_all", "load_measurement", "measure_attacked", "report_sections", "run_probe"]


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


def attacks_on_all(references: Sequence[ProbeRef], repetitions: Sequence[RepetitionRef]) -> tuple[ProbeRef, ...]:
    """What the robustness probe measured, where it measured every training; else nothing."""
    attacks = tuple(r for r in references if r.probe == RobustnessProbe.name)
    is_complete = {(r.arm, r.repetition) for r in attacks} == {(r.arm, r.repetition) for r in repetitions}
    return attacks if is_complete else ()


def measure_attacked(references: Sequence[ProbeRef]) -> dict[str, variance.Measured]:
    """Arm -> balanced accuracy under attack of its trainings, in their order; empty where nothing was attacked."""
    by_arm: dict[str, list[Robustness]] = {}
    for reference in sorted(references, key=lambda r: r.repetition or 0):
        by_arm.setdefault(reference.arm, []).append(load_measurement(reference).result)
    if not all(result.withstood for results in by_arm.values() for result in results):
        return {}
    return {
        arm: variance.measure_shares(np.array(results[0].labels), [np.array(r.withstood) for r in results])
        for arm, results in by_arm.items()
    }


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
