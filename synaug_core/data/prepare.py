"""From a source to three sets of images that can be learnt from and judged by."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from synaug_core.config import DataConfig
from synaug_core.data import assign, checks, imageset, metadata, reading, resize, split, thinning
from synaug_core.data.duplicates import DuplicateGraph, find_duplicates
from synaug_core.data.report import DatasetReport, Dropped, Rejected, Split, describe_findings
from synaug_core.data.sources.base import Listing
from synaug_core.errors import DataError
from synaug_core.progress import Progress, silent

__all__ = ["Prepared", "prepare", "prepare_folds"]


@dataclass(frozen=True)
class Prepared:
    """A data set, read, checked and split. All three sets have the same classes and image shape."""

    train: imageset.ImageSet
    val: imageset.ImageSet
    test: imageset.ImageSet
    report: DatasetReport

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 in hex over pixels, labels, classes, ids and groups of the three sets."""
        sha256 = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            texts = json.dumps([part.classes, part.ids, part.groups, list(part.images.shape)])
            sha256.update(texts.encode())
            sha256.update(part.labels.numpy().tobytes())
            sha256.update(part.images.numpy().tobytes())
        return sha256.hexdigest()


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
    return _divided(_collected(config, progress), config, seed, None)


def prepare_folds(
    config: DataConfig, *, repetitions: int, seed: int, progress: Progress = silent
) -> Iterator[Prepared]:
    """Read once, and divide as a repeated k-fold cross-validation: `repetitions` times `config.split.folds` data
    sets, the folds of a repetition one after the other. Raises as `prepare`, and where a fold cannot test a class."""
    folds = config.split.folds
    if folds is None:
        raise ValueError("data.split.folds is not set")
    collected = _collected(config, progress)
    classes: tuple[str, ...] = ()
    for repetition in range(repetitions):
        for number in range(folds):
            fold = _divided(collected, config, seed, split.Fold(folds, repetition, number))
            classes = classes or fold.train.classes
            if fold.train.classes != classes:
                raise DataError(
                    "data.small_classes: a class is large enough in some folds only; leave it out with data.classes, "
                    "or set data.small_classes to keep"
                )
            yield fold


@dataclass(frozen=True)
class _Collected:
    """What was read, and what in it is equal or nearly so."""

    listing: Listing
    read: reading.ReadImages
    rejected: tuple[Rejected, ...]
    duplicates: DuplicateGraph
    size: int


def _collected(config: DataConfig, progress: Progress) -> _Collected:
    listing = _chosen(metadata.apply_metadata(reading.open_source(config), config), config)
    size = config.image_size or reading.default_size(listing.items)
    read = reading.read_all(listing.items, size, config.fit, progress)
    rejections = (*listing.rejected, *read.rejected)
    reading.check_rejected(rejections, len(read.items), config.max_rejected)
    duplicates = find_duplicates(
        read.thumbnails, read.digests, config.duplicates.distance, config.duplicates.correlation
    )
    return _Collected(listing, read, rejections, duplicates, size)


def _divided(collected: _Collected, config: DataConfig, seed: int, fold: split.Fold | None) -> Prepared:
    listing, read, size = collected.listing, collected.read, collected.size
    labels = [item.label for item in read.items]
    assigned = assign.assign(read.items, collected.duplicates, config, seed, fold)
    sides = list(assigned.sides)
    thinned = _thin(sides, labels, [i.id for i in read.items], listing.classes, config, seed)
    images, train_images = Counter(labels), _count(sides, labels, listing.classes, "train")

    def why(names: Container[str]) -> list[str]:
        thin = [f"{thinned} training images were left out to make the long tail or the low-data set"] if thinned else []
        return checks.why_left_out(read.items, assigned.removed, names, (None, "train"), "training") + thin

    small = checks.small_classes(train_images, images, config.small_classes, config.min_per_class, why)
    classes = tuple(c for c in listing.classes if c not in small)
    if fold is not None:
        split.check_fold(labels, assigned.groups, assigned.sides, classes, fold.folds)
    lines = checks.check_sides(
        _count(sides, labels, classes, "val"),
        _count(sides, labels, classes, "test"),
        lambda: checks.why_left_out(read.items, assigned.removed, classes, ("val",), "validation"),
    )

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
        rejected=collected.rejected,
        duplicates=assigned.duplicates,
        conflicts=assigned.conflicts,
        removed=assigned.removed,
        dropped=tuple(Dropped(name=name, images=count) for name, count in small.items()),
        thinned=thinned,
        notes=(),
    )
    return Prepared(
        train, val, test, report.model_copy(update={"notes": (*describe_findings(report, len(read.items)), *lines)})
    )


def _chosen(listing: Listing, config: DataConfig) -> Listing:
    classes = checks.choose_classes(listing.classes, config.classes, config.max_classes)
    chosen_names = set(classes)
    items = tuple(item for item in listing.items if item.label in chosen_names)
    if not items:
        raise DataError(f"data.source: {config.source} has no images of {', '.join(classes)}")
    return replace(listing, items=items, classes=classes)


def _thin(
    sides: list[Split | None],
    labels: Sequence[str],
    ids: Sequence[str],
    classes: Sequence[str],
    config: DataConfig,
    seed: int,
) -> int:
    """Take training images out of `sides`, for a long tail and for the low-data mode; their number."""
    removed_count = 0

    def keep_where(choose: Callable[[list[str], list[str]], list[bool]]) -> int:
        train = [n for n, side in enumerate(sides) if side == "train"]
        is_kept = choose([labels[n] for n in train], [ids[n] for n in train])
        for n, keep in zip(train, is_kept, strict=True):
            if not keep:
                sides[n] = None
        return is_kept.count(False)

    if (ratio := config.long_tail) is not None:
        removed_count += keep_where(
            lambda train_labels, train_ids: thinning.long_tail(train_labels, train_ids, classes, ratio, seed)
        )
    if (limit := config.per_class) is not None:
        removed_count += keep_where(
            lambda train_labels, train_ids: thinning.few_of_each(train_labels, train_ids, limit, seed)
        )
    return removed_count


def _count(sides: Sequence[Split | None], labels: Sequence[str], classes: Sequence[str], side: Split) -> dict[str, int]:
    counts = Counter(label for label, s in zip(labels, sides, strict=True) if s == side)
    return {name: counts[name] for name in classes}


def _image_set(
    read: reading.ReadImages,
    rows: Sequence[int],
    classes: tuple[str, ...],
    groups: Sequence[str],
    source: str,
    size: int,
    channels: int,
) -> imageset.ImageSet:
    pixels = np.empty((len(rows), channels, size, size), dtype=np.uint8)
    for place, n in enumerate(rows):
        pixels[place] = resize.with_channels(read.squares[n], channels)
    items = [read.items[n] for n in rows]
    number = {name: i for i, name in enumerate(classes)}
    return imageset.ImageSet(
        images=torch.from_numpy(pixels),
        labels=torch.tensor([number[item.label] for item in items], dtype=torch.int64),
        classes=classes,
        ids=tuple(item.id for item in items),
        groups=tuple(groups[n] for n in rows),
        provenance=tuple(json.dumps({"source": f"{source}/{item.id}"}, ensure_ascii=False) for item in items),
    )
