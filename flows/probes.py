"""Probes of trained classifiers: disturbed images, attacks, maps of the evidence, and whatever else is registered."""

from collections.abc import Mapping, Sequence

from flows.learning import Division
from flows.stages import Stages
from synaug_core.config import Config
from synaug_core.evaluate.results import Comparison
from synaug_core.probes import base, registry
from synaug_core.refs import ProbeRef, RepetitionRef, RunRef
from tasks.probes import run_probe
from tasks.retraining import adopt_runs

__all__ = ["run_probes"]


def run_probes(
    config: Config,
    division: Division,
    repetitions: Sequence[RepetitionRef],
    parents: Mapping[str, RunRef],
    run: RunRef,
    stages: Stages,
    comparison: Comparison | None = None,
) -> tuple[ProbeRef, ...]:
    """Run each enabled probe on the first trainings of the division: without a comparison those that look at one
    training at a time, recorded below their arms (`parents`); with it those that compare the arms, below `run`."""
    compared = base.ComparedArms.from_comparison(comparison) if comparison is not None else None
    references: list[ProbeRef] = []
    for probe, section in registry.enabled_probes(config):
        if probe.compares_arms != (compared is not None):
            continue
        numbers = division.repetitions[: probe.count_trainings(section)]
        first = tuple(r for r in repetitions if r.repetition in numbers)
        jobs = [(probe.label, first, run)]
        if not probe.compares_arms:
            jobs = [(f"{r.arm} {r.repetition}", (r,), parents[r.arm]) for r in first]
        with stages.timed(probe.name):
            arguments = [
                (label, (probe.name, division.context.below(parent), trainings, probe.narrow(section), compared))
                for label, trainings, parent in jobs
            ]
            measured = stages.gather(stages.submit(probe.name, run_probe, arguments))
            for reference, (_, _, parent) in zip(measured, jobs, strict=True):
                adopt_runs(parent, (reference.run_id,))
        references += measured
    return tuple(references)
