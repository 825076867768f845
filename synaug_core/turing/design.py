"""Which images are shown, and in which order each rater sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from synaug_core import digests, errors, seeds
from synaug_core.data.thinning import equal_shares

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet

__all__ = ["Design", "Item", "choose", "order"]


@dataclass(frozen=True)
class Item:
    """One image of the test.

    Attributes:
        id: its id in its own set.
        class_name: its class.
        synthetic: whether a model made it.
        row: its position in its own set.
    """

    id: str
    class_name: str
    synthetic: bool
    row: int


@dataclass(frozen=True)
class Design:
    """The images of one test, all classes one after the other; every rater sees all of them.

    Attributes:
        items: the images, as many real as synthetic ones of each class.
        seed: what they were drawn with.
        parents: real images among them that a synthetic one among them was made from.
    """

    items: tuple[Item, ...]
    seed: int
    parents: int

    @cached_property
    def digest(self) -> str:
        """Of what is shown: answers to one test are never counted for another."""
        return digests.of_value([[item.id, item.class_name, item.synthetic] for item in self.items])


def choose(train: ImageSet, synthetic: ImageSet, *, images: int, seed: int) -> Design:
    """Draw half real, half synthetic images: as many of both in each class, so that the class tells nothing.

    Classes get equal shares as far as they have images; who gets the last ones is drawn. Real images that a drawn
    synthetic one was made from come last: two images that look alike would give each other away.

    Args:
        train: real images the generator was fitted on.
        synthetic: synthetic images.
        images: how many to show, real and synthetic together; fewer are taken where there are fewer.
        seed: equal seeds draw equal images.

    Raises:
        DataError: no class has both real and synthetic images.
    """
    real_counts, synthetic_counts = train.counts(), synthetic.counts()
    capacity = {name: min(real_counts.get(name, 0), n) for name, n in synthetic_counts.items()}
    if not any(capacity.values()):
        raise errors.DataError("there is no class with both real and synthetic images to show")
    items: list[Item] = []
    parents = 0
    turn = [list(capacity)[i] for i in np.random.default_rng(seeds.derive(seed, "turing")).permutation(len(capacity))]
    for name, count in equal_shares(capacity, max(1, images // 2), turn).items():
        if not count:
            continue
        draw = np.random.default_rng(seeds.derive(seed, "turing", "images", name))
        fakes = draw.permutation(synthetic.rows_of(name).tolist())[:count]
        parent_ids = {str(p) for i in fakes for p in json.loads(synthetic.provenance[i]).get("parents") or ()}
        shuffled_rows = draw.permutation(train.rows_of(name).tolist())
        real_rows = sorted(shuffled_rows, key=lambda i: train.ids[i] in parent_ids)[:count]
        parents += sum(train.ids[i] in parent_ids for i in real_rows)
        items += [Item(synthetic.ids[i], name, True, int(i)) for i in sorted(fakes)]
        items += [Item(train.ids[i], name, False, int(i)) for i in sorted(real_rows)]
    return Design(tuple(items), seed, parents)


def order(design: Design, rater: str) -> tuple[int, ...]:
    """Positions in `design.items` in the order in which a rater sees them: the same each time, another for each."""
    draw = np.random.default_rng(seeds.derive(design.seed, "turing", "order", rater))
    return tuple(int(i) for i in draw.permutation(len(design.items)))
