"""The planned images of a generator's classes, as an image set."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.generators.base import Generator
from synaug_core.names import slugs
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive
from synaug_core.synthesis import registry
from synaug_core.synthesis.made import Made, Source

__all__ = ["synthesise"]


def synthesise(
    generator: Generator,
    train: ImageSet,
    plan: Mapping[str, int],
    config: SynthesisConfig,
    *,
    seed: int,
    progress: Progress = silent,
) -> ImageSet:
    """Make `plan[class]` images of each class that the generator knows; other classes are left out.

    Args:
        generator: fitted.
        train: the training images; parents come from here alone.
        plan: number of new images by class.
        config: the strategy and its choices.
        seed: a class's images depend on this and its name, not on the other classes.
        progress: told the images made and in all.

    Returns:
        An image set with `train.classes`, classes in that order; ids are synthetic/<class>/<number>, a group
        is the parents' groups joined by `+` (the own id without parents), and the provenance says generator,
        strategy, parents and what else the strategy knows.

    Raises:
        ConfigError: an unknown strategy, or one that the generator cannot serve.
        DataError: a class of the plan has no training images.
    """
    strategy = registry.find(config.strategy)
    wanted = {c: plan.get(c, 0) for c in train.classes if c in generator.classes and plan.get(c, 0) > 0}
    names, group_of = slugs(train.classes), dict(zip(train.ids, train.groups, strict=True))
    parts, total = [_empty(train)], sum(wanted.values())
    for name, n in wanted.items():
        own = generator.of_class(train, name)
        made = strategy.make(Source(name, own, generator), n, config, seed=derive(seed, "synthesis", name))
        told = {"generator": generator.kind, "strategy": config.strategy}
        parts.append(_as_set(made, train, name, names[name], group_of, told))
        progress(sum(len(part) for part in parts), total)
    return concatenate(parts)


def _as_set(
    made: Made, train: ImageSet, name: str, slug: str, group_of: Mapping[str, str], told: Mapping[str, str]
) -> ImageSet:
    ids = tuple(f"synthetic/{slug}/{k}" for k in range(len(made.images)))
    groups = [sorted({group_of[parent] for parent in origin["parents"]}) for origin in made.provenance]
    return ImageSet(
        images=made.images,
        labels=torch.full((len(ids),), train.classes.index(name), dtype=torch.int64),
        classes=train.classes,
        ids=ids,
        groups=tuple("+".join(g) or own for g, own in zip(groups, ids, strict=True)),
        provenance=tuple(json.dumps({**told, **origin}) for origin in made.provenance),
    )


def _empty(train: ImageSet) -> ImageSet:
    return train.take(torch.empty(0, dtype=torch.int64))
