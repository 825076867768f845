"""What each way of making images needs before it can begin."""

from __future__ import annotations

from synaug_core.config import SynthesisConfig
from synaug_core.frozen import Frozen
from synaug_core.refs import DatasetRef
from tasks.step import action

__all__ = ["Need", "needs_of"]


class Need(Frozen):
    """What one synthesis needs."""

    synthesis: SynthesisConfig
    classes: tuple[str, ...]
    """The classes that get images."""
    generator: bool
    targets: int
    """Classifiers whose uncertainty is sought."""
    judges: bool


_ENSEMBLE = 5


@action
def needs_of(dataset: DatasetRef, syntheses: tuple[SynthesisConfig, ...]) -> tuple[Need, ...]:
    """Look every strategy up. A synthesis whose plan asks for no image needs nothing."""
    from synaug_core.synthesis import registry
    from synaug_core.synthesis.plan import plan

    found = []
    for synthesis in syntheses:
        entry = registry.find(synthesis.strategy)
        wanted = plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        classes = tuple(name for name in dataset.classes if wanted.get(name, 0) > 0)
        filters = synthesis.filters
        members = min(_ENSEMBLE, synthesis.targeted.samples) if synthesis.targeted.posterior == "ensemble" else 1
        found.append(
            Need(
                synthesis=synthesis,
                classes=classes,
                generator=entry.generator,
                targets=members if entry.target and classes else 0,
                judges=filters is not None and filters.needs_judge and bool(classes),
            )
        )
    return tuple(found)
