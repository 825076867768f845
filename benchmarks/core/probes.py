"""Probes of the trained classifiers, without flow and tracking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.core.job import Job, call
from benchmarks.core.training import Repetition
from synaug_core.evaluate.results import Comparison
from synaug_core.probes import base
from synaug_core.probes.registry import PROBES, enabled_probes
from synaug_core.seeds import derive

__all__ = ["Measured", "probe_arms", "show_probes"]

Measured = dict[str, list[base.Measurement[Any]]]
"""By probe, what was measured."""


def probe_arms(job: Job, by_arm: dict[str, list[Repetition]], comparison: Comparison | None = None) -> Measured:
    """Without a comparison the probes that look at one training at a time, with it those that compare the arms."""
    compared = base.ComparedArms.from_comparison(comparison) if comparison is not None else None
    measurements: Measured = {}
    for probe, section in enabled_probes(job.config):
        if probe.compares_arms != (compared is not None):
            continue
        first = {arm: done[: probe.count_trainings(section)] for arm, done in by_arm.items()}
        trainings = {arm: [_training(number, r) for number, r in enumerate(done)] for arm, done in first.items()}
        jobs = [("", trainings)]
        if not probe.compares_arms:
            jobs = [(arm, {arm: [training]}) for arm, several in trainings.items() for training in several]
        inputs = [
            base.ProbeInput(
                "", job.data.test, of_job, section, compared, derive(job.config.seed, probe.name), job.device
            )
            for _, of_job in jobs
        ]
        results = job.side_by_side([call(probe.run, probe_input) for probe_input in inputs])
        for number, result in enumerate(results):
            text = result.result.model_dump_json(indent=1)
            job.place(f"{probe.name}/{number}.json").write_text(text, encoding="utf-8")
            for file, picture in result.pictures.items():
                job.keep(picture, f"figures/{file}")
        measurements[probe.name] = [replace(m, arm=arm) for m, (arm, _) in zip(results, jobs, strict=True)]
    return measurements


def show_probes(measurements: Measured, comparison: Comparison) -> list[base.ReportSection]:
    """What the probes add to the report."""
    return [PROBES[name].report_section(measurements, comparison) for name, measurements in measurements.items()]


def _training(number: int, repetition: Repetition) -> base.Training:
    return base.Training(number, lambda: repetition.classifier, lambda: repetition.predictions)
