"""The planned images of a generator's classes, as an image set; made until the plan is filled or a limit is hit."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from pydantic import Field, computed_field
from torch import Tensor

from synaug_core.config import FilterConfig, SynthesisConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import ConfigError, DataError
from synaug_core.frozen import Frozen
from synaug_core.generators.base import Generator
from synaug_core.names import slugs
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive
from synaug_core.synthesis import filters, registry
from synaug_core.synthesis.made import Made, Source

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["Funnel", "Synthesised", "synthesise"]

_REAL = "duplicate"
"""Its images are real ones, which need no gate."""


class Funnel(Frozen, extra="ignore"):  # its JSON holds `filled`, which is no field
    """What became of the images made of one class: made = kept + all dropped + surplus."""

    wanted: int
    made: int
    kept: int
    dropped: dict[str, int] = Field(default_factory=dict)
    """Images by the reason for which they were dropped; see `filters.REASONS`."""
    surplus: int = 0
    """Images that passed in the last round when the plan was filled already."""
    unjudged: int = 0
    """Images kept whose label nobody could judge, though the filter asks for it."""
    rounds: int = 1

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def filled(self) -> bool:
        """True where all wanted images are there; else the limit was hit."""
        return self.kept >= self.wanted


@dataclass(frozen=True)
class Synthesised:
    """The images kept, and how they came to be.

    Attributes:
        images: in the order of classes.
        funnel: of each class that was asked for.
        measures: the strategy's own figures of each class, means over all images made, dropped ones included.
    """

    images: ImageSet
    funnel: dict[str, Funnel]
    measures: dict[str, dict[str, float]]


def synthesise(
    generator: Generator | None,
    train: ImageSet,
    plan: Mapping[str, int],
    config: SynthesisConfig,
    *,
    seed: int,
    judge: filters.Judge | None = None,
    target: tuple[TrainedClassifier, ...] = (),
    progress: Progress = silent,
) -> Synthesised:
    """Make `plan[class]` images of each class that the generator knows; other classes are left out.

    With filters, images are made in rounds until the plan is filled or `filters.limit` times the wanted number
    were made; the funnel says which. The first round makes what would be made without filters. Of the controls,
    duplicates pass unchecked and reconstructions may repeat themselves.

    Args:
        generator: fitted; None for strategies that need none, which then serve all classes of the plan.
        train: the training images; parents come from here alone.
        plan: number of new images by class.
        config: the strategy, its choices and the filters.
        seed: a class's images depend on this and its name, not on the other classes.
        judge: gives synthetic images their class probabilities; None: labels are not checked.
        target: classifiers whose uncertainty a targeted strategy seeks.
        progress: told the images kept and wanted in all.

    Returns:
        Images with `train.classes`, classes in that order; ids are synthetic/<class>/<number>, a group is the
        parents' groups joined by `+` (the own id without parents), and the provenance says generator, strategy,
        parents, what else the strategy knows, and `label_probability` where it was judged.

    Raises:
        ConfigError: an unknown strategy, or one that the generator cannot serve.
        DataError: a class of the plan has no training images.
    """
    entry = registry.find(config.strategy)
    if entry.generator and generator is None:
        raise ConfigError(f"synthesis.strategy: {config.strategy} needs a generator")
    known = train.classes if generator is None else generator.classes
    wanted = {c: plan.get(c, 0) for c in train.classes if c in known and plan.get(c, 0) > 0}
    maker = _Maker(entry, generator, train, config, judge, target, seed)
    parts, total = [train.take([])], sum(wanted.values())
    funnels: dict[str, Funnel] = {}
    measures: dict[str, dict[str, float]] = {}
    for name, n in wanted.items():
        before = sum(len(part) for part in parts)
        kept, funnels[name], measures[name] = maker.of_class(name, n, partial(_tell, progress, before, total))
        parts.append(kept)
    return Synthesised(concatenate(parts), funnels, measures)


@dataclass(frozen=True)
class _Maker:
    """All that the classes have in common."""

    entry: registry.Entry
    generator: Generator | None
    train: ImageSet
    config: SynthesisConfig
    judge: filters.Judge | None
    target: tuple[TrainedClassifier, ...]
    seed: int

    def of_class(
        self, name: str, wanted: int, tell: Callable[[int], None]
    ) -> tuple[ImageSet, Funnel, dict[str, float]]:
        """Rounds until `wanted` images are kept or the limit is hit."""
        own = self._own(name)
        source, seed = Source(name, own, self.generator, self.target), derive(self.seed, "synthesis", name)
        gate = self._gate()
        reference = filters.Reference.of(own.images) if gate is not None else None
        kept, measures, dropped = self.train.take([]), _Means(), Counter[str]()
        made = surplus = unjudged = rounds = 0
        ask, limit = wanted, wanted if gate is None else max(wanted, math.floor(gate.limit * wanted))
        while ask > 0:
            batch = self.entry.make(source, ask, self.config, seed=derive(seed, "round", rounds) if rounds else seed)
            candidates = self._as_set(batch, name)
            measures.add(batch.measures, ask)
            made, rounds, before = made + ask, rounds + 1, len(kept)
            if gate is None:
                kept = candidates
            else:
                judge = self.judge if gate.label_consistency is not None else None
                verdict = filters.apply(candidates, own, gate, judge, kept.images, reference=reference)
                rows = verdict.keep.nonzero().flatten()
                surplus += max(0, len(rows) - (wanted - before))
                rows = rows[: wanted - before]
                chances = verdict.probability[rows]
                kept = concatenate([kept, _with_probability(candidates.take(rows), chances)])
                dropped.update(reason for reason in verdict.reasons if reason is not None)
                unjudged += int(chances.isnan().sum()) if judge is not None else 0
            tell(len(kept))
            # Ask for as many as the last round's luck suggests; after a round in vain for many more.
            luck = (len(kept) - before + 1) / (ask + 1)
            ask = min(math.ceil((wanted - len(kept)) / luck), limit - made)
        funnel = Funnel(
            wanted=wanted,
            made=made,
            kept=len(kept),
            dropped={reason: dropped[reason] for reason in filters.REASONS if dropped[reason]},
            surplus=surplus,
            unjudged=unjudged,
            rounds=rounds,
        )
        return _numbered(kept, slugs(self.train.classes)[name]), funnel, measures.values()

    def _own(self, name: str) -> ImageSet:
        if self.generator is not None:
            return self.generator.of_class(self.train, name)
        own = self.train.of_class(name)
        if not len(own):
            raise DataError(f"class {name!r} has no training images to make others from; drop it or add images")
        return own

    def _gate(self) -> FilterConfig | None:
        gate = self.config.filters
        if self.config.strategy == _REAL:
            return None
        if gate is not None and self.entry.repeats:
            return gate.model_copy(update={"memorisation": None, "near_duplicates": None})
        return gate

    def _as_set(self, made: Made, name: str) -> ImageSet:
        n, train = len(made.images), self.train
        group_of = dict(zip(train.ids, train.groups, strict=True))
        told = {"generator": self.generator.kind if self.generator else None, "strategy": self.config.strategy}
        groups = ["+".join(sorted({group_of[p] for p in origin["parents"]})) for origin in made.provenance]
        return ImageSet(
            images=made.images,
            labels=torch.full((n,), train.classes.index(name), dtype=torch.int64),
            classes=train.classes,
            ids=tuple(map(str, range(n))),
            groups=tuple(groups),
            provenance=tuple(json.dumps({**told, **origin}) for origin in made.provenance),
        )


def _tell(progress: Progress, before: int, total: int, kept: int) -> None:
    progress(before + kept, total)


class _Means:
    """Means of figures over rounds of different size."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, int] = {}

    def add(self, figures: Mapping[str, float], weight: int) -> None:
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * weight
            self._weights[name] = self._weights.get(name, 0) + weight

    def values(self) -> dict[str, float]:
        return {name: total / self._weights[name] for name, total in self._sums.items()}


def _with_probability(images: ImageSet, probability: Tensor) -> ImageSet:
    def told(text: str, chance: float) -> str:
        return text if math.isnan(chance) else json.dumps(json.loads(text) | {"label_probability": round(chance, 6)})

    texts = (told(text, chance) for text, chance in zip(images.provenance, probability.tolist(), strict=True))
    return replace(images, provenance=tuple(texts))


def _numbered(images: ImageSet, slug: str) -> ImageSet:
    ids = tuple(f"synthetic/{slug}/{k}" for k in range(len(images)))
    return replace(images, ids=ids, groups=tuple(g or own for g, own in zip(images.groups, ids, strict=True)))
