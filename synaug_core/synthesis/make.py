"""The planned images of each class as an image set, in rounds until the plan is filled or a limit is hit."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, computed_field
from torch import Tensor

from synaug_core import errors, frozen, names, seeds
from synaug_core.config import FilterConfig, SynthesisConfig
from synaug_core.config.synthesis import SubsetConfig
from synaug_core.data.imageset import LABEL_SHARES, ImageSet, concatenate
from synaug_core.generators.base import Generator
from synaug_core.progress import Progress, silent
from synaug_core.synthesis import filters, oracle, registry, strategy, subset

if TYPE_CHECKING:
    from synaug_core.classify.trained import TrainedClassifier

__all__ = ["Funnel", "SynthesisResult", "enlarged_from", "synthesise"]


class Funnel(frozen.Frozen, extra="ignore", populate_by_name=True, serialize_by_alias=True):
    """How many images of one class passed the filters: generated = accepted + all dropped + surplus.

    Its JSON keeps the keys of version 0.1.0, and `filled`, which is no field.
    """

    planned: int = Field(alias="wanted")
    generated: int = Field(alias="made")
    accepted: int = Field(alias="kept")
    dropped: dict[str, int] = Field(default_factory=dict)
    """Images by the reason for which they were dropped; see `filters.REASONS`."""
    surplus: int = 0
    """Images that passed and are not used: the plan was filled, or others of a subset were chosen."""
    unjudged: int = 0
    """Images accepted whose label nobody could judge, though the filter asks for it."""
    rounds: int = 1

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def filled(self) -> bool:
        """Whether all planned images were accepted; False where the limit of rounds ended the synthesis."""
        return self.accepted >= self.planned


@dataclass(frozen=True)
class SynthesisResult:
    """The images accepted, and how they came to be.

    Attributes:
        images: in the order of classes.
        funnel: of each class of the plan that the generator knows.
        measures: the strategy's own figures of each class, means over all images generated, dropped ones included.
        left_out: of each class with a subset, candidates that were not taken, the least uncertain first.
    """

    images: ImageSet
    funnel: dict[str, Funnel]
    measures: dict[str, dict[str, float]]
    left_out: dict[str, ImageSet] = field(default_factory=dict)


def synthesise(
    generator: Generator | None,
    train: ImageSet,
    plan: Mapping[str, int],
    config: SynthesisConfig,
    *,
    seed: int,
    judge: filters.Judge | None = None,
    real_probabilities: Mapping[str, float] | None = None,
    target: tuple[TrainedClassifier, ...] = (),
    held_back: ImageSet | None = None,
    describe: subset.Describe | None = None,
    masks: Mapping[str, Tensor] | None = None,
    progress: Progress = silent,
) -> SynthesisResult:
    """Make `plan[class]` images of each class that the generator knows; other classes are left out.

    With filters, images are generated in rounds until the plan is filled or `filters.limit` times the planned number
    were generated; the funnel says which. The first round generates what would be without filters. Of the controls,
    duplicates pass unchecked and reconstructions may repeat themselves.

    Args:
        generator: fitted; None for strategies that need none, which then serve all classes of the plan.
        train: the training images; parents come from here alone.
        plan: number of new images by class.
        config: the strategy, its choices and the filters.
        seed: a class's images depend on this and its name, not on the other classes.
        judge: gives synthetic images their class probabilities; None: labels are not checked.
        real_probabilities: by class, what a tenth of its real images get less than from judges that did not see them.
        target: classifiers whose uncertainty a targeted strategy, or an informative subset, goes by.
        held_back: real images for the positive control, which gives as many as there are.
        describe: features in which an informative subset covers its class.
        masks: id -> where the object of a training image is, float32 (h, w) in [0, 1], for `paste.mask: files`.
        progress: called with the images accepted and planned in all.

    Returns:
        Images with `train.classes`, classes in that order; ids are synthetic/<class>/<number>, a group is
        the parents' and donors' groups joined by `+` (the own id without them), and the provenance says generator,
        strategy, parents, `learnt_size` where the generator learns smaller images (those without `detail` are
        enlarged), what else the strategy knows, and `label_probability` where it was judged.

    Raises:
        ConfigError: an unknown strategy, or one that the generator cannot serve.
        DataError: a class of the plan has no training images, or the positive control no image to give.
    """
    entry = registry.find(config.strategy)
    if entry.generator and generator is None:
        raise errors.ConfigError(f"synthesis.strategy: {config.strategy} needs a generator")
    classes = train.classes if generator is None else generator.classes
    counts = {c: plan.get(c, 0) for c in train.classes if c in classes and plan.get(c, 0) > 0}
    if entry.held_back:
        oracle.check_held_back(counts, held_back.counts() if held_back is not None else {})
    synthesis = _Synthesis(
        *(entry, generator, train, config, judge, real_probabilities or {}, target, held_back, describe, masks, seed)
    )
    parts, total = [train.take([])], sum(counts.values())
    filled: dict[str, _Filled] = {}
    for name, n in counts.items():
        report = partial(_report_progress, progress, sum(len(part) for part in parts), total)
        filled[name] = synthesis.fill_class(name, n, report)
        parts.append(filled[name].images)
    return SynthesisResult(
        concatenate(parts),
        funnel={name: part.funnel for name, part in filled.items()},
        measures={name: part.measures for name, part in filled.items()},
        left_out={name: part.left_out for name, part in filled.items() if part.left_out is not None},
    )


def enlarged_from(generator: Generator | None, config: SynthesisConfig) -> int | None:
    """Pixels a side from which images are enlarged and given no real detail, so that they are less sharp than real
    ones; None where they are not."""
    entry = registry.find(config.strategy)
    if generator is None or not entry.generator or not generator.enlarges:
        return None
    return generator.learnt_size if entry.kept_detail(config, enlarges=True) == "none" else None


@dataclass(frozen=True)
class _Filled:
    """One class's part of the result."""

    images: ImageSet
    funnel: Funnel
    measures: dict[str, float]
    left_out: ImageSet | None


@dataclass(frozen=True)
class _Synthesis:
    """All that the classes have in common."""

    entry: strategy.Entry
    generator: Generator | None
    train: ImageSet
    config: SynthesisConfig
    judge: filters.Judge | None
    real_probabilities: Mapping[str, float]
    target: tuple[TrainedClassifier, ...]
    held_back: ImageSet | None
    describe: subset.Describe | None
    masks: Mapping[str, Tensor] | None
    seed: int

    def fill_class(self, name: str, planned: int, report: Callable[[int], None]) -> _Filled:
        """Rounds until `planned` images are accepted or the limit is hit. With a subset the first round makes all
        candidates."""
        class_images = self._class_images(name)
        spare = self.held_back.of_class(name) if self.held_back is not None else None
        source = strategy.Source(name, class_images, self.generator, self.target, spare, self.train, self.masks)
        seed = seeds.derive(self.seed, "synthesis", name)
        gate = self._gate()
        reference = filters.Reference.from_images(class_images.images) if gate is not None else None
        accepted, measures, dropped = self.train.take([]), _Means(), Counter[str]()
        generated = surplus = unjudged = rounds = 0
        choice = self.config.subset
        n = planned if choice is None else math.ceil(choice.candidates * planned)
        room = planned if choice is None else sys.maxsize  # most images that are accepted
        limit = n if gate is None else max(n, math.floor(gate.limit * planned))
        if self.entry.held_back:
            n = limit = min(planned, len(spare) if spare is not None else 0)
        while n > 0:
            batch = self.entry.make(
                source, n, self.config, seed=seeds.derive(seed, "round", rounds) if rounds else seed
            )
            candidates = self._as_set(batch, name)
            measures.add(batch.measures, n)
            generated, rounds, before = generated + n, rounds + 1, len(accepted)
            if gate is None:
                accepted = candidates
            else:
                judge = self.judge if gate.label_consistency is not None else None
                verdict = filters.apply(
                    *(candidates, class_images, gate, judge, accepted.images),
                    reference=reference,
                    real_probability=self.real_probabilities.get(name),
                )
                rows = verdict.keep.nonzero().flatten()
                surplus += max(0, len(rows) - (room - before))
                rows = rows[: room - before]
                chances = verdict.probability[rows]
                accepted = concatenate([accepted, _with_probability(candidates.take(rows), chances)])
                dropped.update(reason for reason in verdict.reasons if reason is not None)
                unjudged += int(chances.isnan().sum()) if judge is not None else 0
            report(min(planned, len(accepted)))
            # Generate as many as the last round's luck suggests; after a round in vain many more.
            luck = (len(accepted) - before + 1) / (n + 1)
            n = min(math.ceil((planned - len(accepted)) / luck), limit - generated)
        left_out, figures = None, measures.values()
        if choice is not None:
            surplus += max(0, len(accepted) - planned)
            accepted, left_out, of_choice = self._choose(accepted, class_images, planned, choice, seed)
            figures |= of_choice
        if self.config.labels == "judged" and self.judge is not None:
            accepted = _with_judged_labels(accepted, self.judge(accepted))
        funnel = Funnel(
            planned=planned,
            generated=generated,
            accepted=len(accepted),
            dropped={reason: dropped[reason] for reason in filters.REASONS if dropped[reason]},
            surplus=surplus,
            unjudged=unjudged,
            rounds=rounds,
        )
        return _Filled(_with_ids(accepted, names.slugs(self.train.classes)[name]), funnel, figures, left_out)

    def _choose(
        self, candidates: ImageSet, real: ImageSet, count: int, choice: SubsetConfig, seed: int
    ) -> tuple[ImageSet, ImageSet, dict[str, float]]:
        """The subset of the candidates, examples of the others, and figures of both."""
        order = torch.randperm(len(candidates), generator=seeds.stream(seeds.derive(seed, "subset")))
        if choice.by == "random":
            return candidates.take(order[:count]), candidates.take(order[count:][:_LEFT_OUT]), {}
        if self.describe is None:
            raise errors.ConfigError("synthesis.subset: informative images need features in which they cover the class")
        uncertainty = subset.measure_uncertainty(
            self.target, candidates, choice, samples=self.config.targeted.samples, seed=seed
        )
        rows = subset.choose(uncertainty, self.describe(candidates), self.describe(real), count)
        is_left = torch.ones(len(candidates), dtype=torch.bool).index_fill(0, rows, False)
        left = is_left.nonzero().flatten()
        left = left[uncertainty[left].argsort(stable=True)]
        ends = torch.cat([left[: _LEFT_OUT // 2], left[max(_LEFT_OUT // 2, len(left) - _LEFT_OUT // 2) :]])
        rated = [
            json.dumps(json.loads(t) | {_UNCERTAINTY: round(u, 4)})
            for t, u in zip(candidates.provenance, uncertainty.tolist(), strict=True)
        ]
        candidates = replace(candidates, provenance=tuple(rated))
        figures = {
            "uncertainty_candidates": float(uncertainty.mean()),
            "uncertainty_taken": float(uncertainty[rows].mean()),
        }
        return candidates.take(rows), candidates.take(ends), figures if len(rows) else {}

    def _class_images(self, name: str) -> ImageSet:
        if self.generator is not None:
            return self.generator.of_class(self.train, name)
        images = self.train.of_class(name)
        if not len(images):
            raise errors.DataError(f"class {name!r} has no training images to make others from; drop it or add images")
        return images

    def _gate(self) -> FilterConfig | None:
        gate = self.config.filters
        if self.entry.copies:
            return None
        if gate is not None and self.entry.repeats:
            return gate.model_copy(update={"memorisation": None, "near_duplicates": None})
        return gate

    def _as_set(self, batch: strategy.NewImages, name: str) -> ImageSet:
        n, train = len(batch.images), self.train
        group_of = dict(zip(train.ids, train.groups, strict=True))
        generator = self.generator
        method: dict[str, str | int | None] = {"generator": generator.kind if generator else None}
        method["strategy"] = self.config.strategy
        if generator is not None and self.entry.generator and generator.enlarges:
            method["learnt_size"] = generator.learnt_size
        origins = [[*origin["parents"], *origin.get("donors", ())] for origin in batch.provenance]
        groups = ["+".join(sorted({group_of[image] for image in images})) for images in origins]
        return ImageSet(
            images=batch.images,
            labels=torch.full((n,), train.classes.index(name), dtype=torch.int64),
            classes=train.classes,
            ids=tuple(map(str, range(n))),
            groups=tuple(groups),
            provenance=tuple(json.dumps({**method, **origin}) for origin in batch.provenance),
        )


_LEFT_OUT = 16
"""Most candidates of a class that are shown beside those that were taken."""
_UNCERTAINTY = "uncertainty"
"""Key of the provenance: in nats, of the classifier by which a subset was chosen."""


def _report_progress(progress: Progress, before: int, total: int, accepted: int) -> None:
    progress(before + accepted, total)


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
    def with_chance(text: str, chance: float) -> str:
        return text if math.isnan(chance) else json.dumps(json.loads(text) | {"label_probability": round(chance, 6)})

    texts = (with_chance(text, chance) for text, chance in zip(images.provenance, probability.tolist(), strict=True))
    return replace(images, provenance=tuple(texts))


def _with_judged_labels(images: ImageSet, probabilities: NDArray[np.floating]) -> ImageSet:
    """The images with what the judges say of each class as label shares; where nobody can judge, with the label."""
    texts = list(images.provenance)
    for row in np.flatnonzero(~np.isnan(probabilities).any(axis=1)).tolist():
        shares = dict(zip(images.classes, (round(float(p), 4) for p in probabilities[row]), strict=True))
        shares = {name: share for name, share in shares.items() if share > 0}
        texts[row] = json.dumps(json.loads(texts[row]) | {LABEL_SHARES: shares})
    return replace(images, provenance=tuple(texts))


def _with_ids(images: ImageSet, slug: str) -> ImageSet:
    ids = tuple(f"synthetic/{slug}/{k}" for k in range(len(images)))
    return replace(images, ids=ids, groups=tuple(group or i for group, i in zip(images.groups, ids, strict=True)))
