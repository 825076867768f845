"""The synthetic images of every arm: what they need is fitted, they are made and checked, and they are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from prefect.futures import PrefectFuture

from flows.ledger import Ledger
from synaug_core.config import Config, GeneratorConfig, SynthesisConfig
from synaug_core.refs import (
    ClassifierRef,
    DatasetRef,
    GeneratorRef,
    JudgesRef,
    QualityRef,
    RunRef,
    SyntheticRef,
)
from tasks.engine.machine import worker_count
from tasks.engine.naming import group_name, synthesis_name
from tasks.generators import fit_group, group_classes
from tasks.judging import fit_judges, fit_target, share_judges
from tasks.quality import assess_images
from tasks.retraining import adopt_runs
from tasks.synthesis import Need, needs_of, synthesise_group

__all__ = ["Images", "Judged", "OnReals", "begin_on_reals", "end_on_reals", "judge_images", "make_images", "of_arms"]

Fitted = dict[str, tuple[GeneratorRef, ...]]


@dataclass(frozen=True)
class Images:
    """What the arms add to the real images.

    Attributes:
        synthetic: of each arm; arms with equal synthesis share theirs.
        online: the generators that an arm uses inside its training.
        needs: of each distinct synthesis, by its key.
        made: of each distinct synthesis.
        sources: the generators of each distinct synthesis.
        target: a classifier trained on real images; None where nothing asks for it.
        judges: one panel, in the parts that were trained side by side; none where nothing asks for them.
    """

    synthetic: dict[str, tuple[SyntheticRef, ...]]
    online: dict[str, tuple[GeneratorRef, ...]]
    needs: dict[str, Need] = field(default_factory=dict)
    made: dict[str, tuple[SyntheticRef, ...]] = field(default_factory=dict)
    sources: dict[str, tuple[GeneratorRef, ...]] = field(default_factory=dict)
    target: ClassifierRef | None = None
    judges: tuple[JudgesRef, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """What the user should know of the generators and the images, each once."""
        generators = [g for found in (*self.sources.values(), *self.online.values()) for g in found]
        sets = [m for found in self.made.values() for m in found]
        return tuple(
            dict.fromkeys(
                note for notes in (*(g.notes for g in generators), *(m.notes for m in sets)) for note in notes
            )
        )


def make_images(config: Config, dataset: DatasetRef, run: RunRef, ledger: Ledger) -> Images:
    """Fit what the arms ask for, once each, and make their images."""
    syntheses = {_key(arm.synthesis): arm.synthesis for arm in config.arms if arm.synthesis is not None}
    found = needs_of(dataset, tuple(syntheses.values())) if syntheses else ()
    needs = {_key(need.synthesis): need for need in found if need.classes}
    judged = config.quality.enabled and bool(needs)
    targets = max([need.targets for need in needs.values()], default=0)
    begin = partial(
        begin_on_reals,
        config,
        dataset,
        targets=max(targets, int(judged)),
        judges=judged or any(need.judges for need in needs.values()),
        run=run,
        ledger=ledger,
    )
    with ledger.stage("generator"):
        begun = begin() if worker_count(config.compute) > 1 else None
        fitted = _fit_generators(config, dataset, needs, run, ledger)
    with ledger.stage("judge"):
        aims, judges = end_on_reals(begun or begin(), run, ledger)
    with ledger.stage("synthesis"):
        jobs = [
            (key, need, generator, classes)
            for key, need in needs.items()
            for generator, classes in _jobs(config, need, fitted)
        ]
        made = ledger.gather(
            "synthesis",
            [
                (
                    f"{synthesis_name(need.synthesis, generator.kind if generator else None)} {group_name(classes)}",
                    synthesise_group.submit(
                        dataset,
                        classes,
                        generator,
                        judges if need.judges else (),
                        aims[: need.targets],
                        need.synthesis,
                        config.seed,
                        config.compute,
                        run,
                    ),
                )
                for _, need, generator, classes in jobs
            ],
        )
    adopt_runs(run, tuple(m.run_id for m in made))
    of_key = {key: tuple(m for m, job in zip(made, jobs, strict=True) if job[0] == key) for key in needs}
    sources = {key: tuple(job[2] for job in jobs if job[0] == key and job[2] is not None) for key in needs}
    return Images(
        synthetic={arm.name: of_key.get(_key(arm.synthesis), ()) for arm in config.arms},
        online={
            arm.name: fitted[_generator_key(config, arm.online.generator)] if arm.online is not None else ()
            for arm in config.arms
        },
        needs=needs,
        made=of_key,
        sources=sources,
        target=aims[0] if aims else None,
        judges=judges,
    )


Judged = dict[str, tuple[str, PrefectFuture[QualityRef]]]


def judge_images(config: Config, dataset: DatasetRef, images: Images, run: RunRef, ledger: Ledger) -> Judged:
    """Have each distinct set of images judged, beside whatever comes next: key -> name and what will be found."""
    if not config.quality.enabled or images.target is None or not images.judges:
        return {}
    judged = {
        key: (
            name := _arms_of(config, key),
            assess_images.submit(
                dataset,
                name,
                made,
                images.sources[key],
                images.target,
                images.judges,
                config.classifier,
                config.quality,
                config.seed,
                config.compute,
                run,
            ),
        )
        for key, made in images.made.items()
        if any(reference.images for reference in made)
    }
    ledger.follow("quality", tuple(judged.values()))
    return judged


def of_arms(
    config: Config, images: Images, judged: Judged, found: Sequence[QualityRef]
) -> dict[str, tuple[tuple[SyntheticRef, ...], QualityRef | None]]:
    """Each arm's synthetic images and what the judge found; arms without any are left out."""
    quality = dict(zip(judged, found, strict=True))
    return {
        arm.name: (images.synthetic[arm.name], quality.get(_key(arm.synthesis)))
        for arm in config.arms
        if images.synthetic[arm.name]
    }


def _fit_generators(config: Config, dataset: DatasetRef, needs: dict[str, Need], run: RunRef, ledger: Ledger) -> Fitted:
    """Each distinct generator, for the classes that any arm asks of it, a group of classes in one step."""
    wanted: dict[str, tuple[GeneratorConfig, set[str]]] = {}

    def want(name: str, classes: tuple[str, ...]) -> None:
        wanted.setdefault(_generator_key(config, name), (config.generator_named(name), set()))[1].update(classes)

    for need in needs.values():
        if need.generator:
            want(need.synthesis.generator, need.classes)
    for arm in config.arms:
        if arm.online is not None:
            want(arm.online.generator, tuple(c for c in dataset.classes if dataset.train.counts[c]))
    jobs = [
        (key, generator, group)
        for key, (generator, classes) in wanted.items()
        for group in group_classes(
            dataset, tuple(c for c in dataset.classes if c in classes), generator, config.compute
        )
    ]
    steps = [
        (
            f"{generator.kind} {group_name(group)}",
            fit_group.submit(dataset, group, generator, config.seed, config.compute, run),
        )
        for _, generator, group in jobs
    ]
    fitted = ledger.gather("generator", steps)
    adopt_runs(run, tuple(f.run_id for f in fitted))
    return {key: tuple(f for f, job in zip(fitted, jobs, strict=True) if job[0] == key) for key in wanted}


def _jobs(config: Config, need: Need, fitted: Fitted) -> list[tuple[GeneratorRef | None, tuple[str, ...]]]:
    """A generator and the classes it makes images of, for each step of a synthesis."""
    if not need.generator:
        return [(None, need.classes)]
    groups = fitted[_generator_key(config, need.synthesis.generator)]
    served = [(g, tuple(c for c in need.classes if c in g.classes)) for g in groups]
    return [(g, classes) for g, classes in served if classes]


def _key(synthesis: SynthesisConfig | None) -> str:
    return "" if synthesis is None else synthesis.model_dump_json()


def _generator_key(config: Config, name: str) -> str:
    return config.generator_named(name).model_dump_json()


def _arms_of(config: Config, key: str) -> str:
    return ", ".join(arm.name for arm in config.arms if _key(arm.synthesis) == key)


class OnReals(NamedTuple):
    """Classifiers of real images under way, by name: targets, and the parts of at most one panel of judges."""

    targets: tuple[tuple[str, PrefectFuture[ClassifierRef]], ...]
    judges: tuple[tuple[str, PrefectFuture[JudgesRef]], ...]


def begin_on_reals(
    config: Config, dataset: DatasetRef, *, targets: int, judges: bool, run: RunRef, ledger: Ledger
) -> OnReals:
    """Submit so many targets and, where they are wanted, the judges: first what takes longest."""
    parts = share_judges(config.judge) if judges else {}
    panel = tuple(
        (
            name,
            fit_judges.submit(
                dataset, name, left_out, config.classifier, config.judge, config.seed, config.compute, run
            ),
        )
        for name, left_out in parts.items()
    )
    aims = tuple(
        (f"target {n}", fit_target.submit(dataset, n, config.classifier, config.seed, config.compute, run))
        for n in range(targets)
    )
    ledger.follow("judge", panel)
    ledger.follow("judge", aims)
    return OnReals(aims, panel)


def end_on_reals(
    begun: OnReals, run: RunRef, ledger: Ledger
) -> tuple[tuple[ClassifierRef, ...], tuple[JudgesRef, ...]]:
    """Wait for them: targets, and the panel in its parts."""
    aims = tuple(ledger.gather("judge", begun.targets))
    panel = tuple(ledger.gather("judge", begun.judges))
    adopt_runs(run, tuple(reference.run_id for reference in (*aims, *panel)))
    return aims, panel
