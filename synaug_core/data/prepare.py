"""From a source to three sets of images that can be learnt from and judged by."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from synaug_core.config import DataConfig
from synaug_core.data.assign import assign
from synaug_core.data.checks import check_sides, choose_classes, small_classes
from synaug_core.data.duplicates import find_duplicates
from synaug_core.data.imageset import ImageSet
from synaug_core.data.longtail import long_tail
from synaug_core.data.metadata import apply_metadata
from synaug_core.data.notes import notes
from synaug_core.data.reading import ReadImages, check_rejected, default_size, read_all
from synaug_core.data.report import DatasetReport, Dropped, Split
from synaug_core.data.resize import with_channels
from synaug_core.data.sources import Listing, open_source
from synaug_core.errors import DataError
from synaug_core.progress import Progress, silent

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A data set, read, checked and split. All three sets have the same classes and image shape."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    report: DatasetReport

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 in hex over pixels, labels, classes, ids and groups of the three sets."""
        total = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            texts = json.dumps([part.classes, part.ids, part.groups, list(part.images.shape)])
            total.update(texts.encode())
            total.update(part.labels.numpy().tobytes())
            total.update(part.images.numpy().tobytes())
        return total.hexdigest()


def prepare(config: DataConfig, *, seed: int, progress: Progress = silent) -> Prepared:
    """Read the source, leave out what cannot be used, keep duplicates and groups on one side, split.

    The result depends on the images, `config` and `seed`, not on the order of files or on where they lie.

    Args:
        config: what to read and how.
        seed: root of the split's and the long tail's choices.
        progress: told the images read and the images in all.

    Raises:
        DataError: the images, their labels or their splits cannot be used; one line that says why.
    """
    listing = _chosen(apply_metadata(open_source(config), config), config)
    size = config.image_size or default_size(listing.items)
    read = read_all(listing.items, size, config.fit, progress)
    rejected = (*listing.rejected, *read.rejected)
    check_rejected(rejected, len(read.items), config.max_rejected)

    labels = [item.label for item in read.items]
    found = find_duplicates(read.thumbnails, read.digests, config.duplicates.distance, config.duplicates.correlation)
    assigned = assign(read.items, found, config, seed)
    sides = list(assigned.sides)
    thinned = 0
    if config.long_tail is not None:
        thinned = _thin(sides, labels, [i.id for i in read.items], listing.classes, config.long_tail, seed)
    small = small_classes(_count(sides, labels, listing.classes, "train"), config.small_classes, config.min_per_class)
    classes = tuple(c for c in listing.classes if c not in small)
    lines = check_sides(_count(sides, labels, classes, "val"), _count(sides, labels, classes, "test"))

    channels = config.channels or (1 if read.all_grey else 3)
    train, val, test = (
        _image_set(read, [n for n, s in enumerate(sides) if s == side and labels[n] in classes],
                   classes, assigned.groups, listing.name, size, channels)
        for side in ("train", "val", "test")
    )  # fmt: skip
    report = DatasetReport(
        source=listing.name,
        image_size=size,
        channels=channels,
        classes=classes,
        split=assigned.origin,
        counts={"train": train.counts(), "val": val.counts(), "test": test.counts()},
        facts=read.facts,
        rejected=rejected,
        duplicates=assigned.duplicates,
        conflicts=assigned.conflicts,
        removed=assigned.removed,
        dropped=tuple(Dropped(name=name, images=count) for name, count in small.items()),
        thinned=thinned,
        notes=(),
    )
    return Prepared(train, val, test, report.model_copy(update={"notes": (*notes(report, len(read.items)), *lines)}))


def _chosen(listing: Listing, config: DataConfig) -> Listing:
    classes = choose_classes(listing.classes, config.classes)
    wanted = set(classes)
    items = tuple(item for item in listing.items if item.label in wanted)
    if not items:
        raise DataError(f"data.source: {config.source} has no images of {', '.join(classes)}")
    return replace(listing, items=items, classes=classes)


def _thin(
    sides: list[Split | None],
    labels: Sequence[str],
    ids: Sequence[str],
    classes: Sequence[str],
    ratio: float,
    seed: int,
) -> int:
    """Take training images out of `sides`; their number."""
    train = [n for n, side in enumerate(sides) if side == "train"]
    kept = long_tail([labels[n] for n in train], [ids[n] for n in train], classes, ratio, seed)
    for n, keep in zip(train, kept, strict=True):
        if not keep:
            sides[n] = None
    return kept.count(False)


def _count(sides: Sequence[Split | None], labels: Sequence[str], classes: Sequence[str], side: Split) -> dict[str, int]:
    own = Counter(label for label, s in zip(labels, sides, strict=True) if s == side)
    return {name: own[name] for name in classes}


def _image_set(
    read: ReadImages,
    rows: Sequence[int],
    classes: tuple[str, ...],
    groups: Sequence[str],
    source: str,
    size: int,
    channels: int,
) -> ImageSet:
    pixels = np.empty((len(rows), channels, size, size), dtype=np.uint8)
    for place, n in enumerate(rows):
        pixels[place] = with_channels(read.squares[n], channels)
    items = [read.items[n] for n in rows]
    number = {name: i for i, name in enumerate(classes)}
    return ImageSet(
        images=torch.from_numpy(pixels),
        labels=torch.tensor([number[item.label] for item in items], dtype=torch.int64),
        classes=classes,
        ids=tuple(item.id for item in items),
        groups=tuple(groups[n] for n in rows),
        provenance=tuple(json.dumps({"source": f"{source}/{item.id}"}, ensure_ascii=False) for item in items),
    )
