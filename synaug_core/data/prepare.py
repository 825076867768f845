"""From a source to three sets of images that can be learnt from and judged by."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from numpy.typing import NDArray

from synaug_core import seeds
from synaug_core.config import DataConfig
from synaug_core.config.data import SMALL_PIXELS, Related
from synaug_core.data import assign, checks, imageset, reading, resize, scaling, shortcuts, split, thinning
from synaug_core.data.duplicates import DuplicateGraph, find_duplicates
from synaug_core.data.related import FEWEST, related_pairs
from synaug_core.data.report import DatasetReport, Dropped, Rejected, Split, describe_findings
from synaug_core.data.sources.base import Listing
from synaug_core.errors import DataError
from synaug_core.progress import Progress, silent

__all__ = ["Describe", "Prepared", "prepare", "prepare_divisions"]

Describe = Callable[[torch.Tensor], torch.Tensor]
"""Images, uint8 (n, channels, size, size), to a frozen network's features, float32 (n, d) on the CPU."""
_DESCRIBED_AT_ONCE = 256
_MOST_DESCRIBED, _MOST_COMPARED = 20_000, 100_000
"""Images up to which a network looks at all of them to find related ones, and up to which these are sought at all:
every image is compared with every other one."""
_DRAWN: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True)
class Prepared:
    """A data set, read, checked and split. All sets have the same classes and image shape.

    Attributes:
        train: training images.
        val: validation images.
        test: test images.
        report: what was read, removed and divided.
        held_back: images of the training part that the low-data mode or the long tail left out, each class in a random
            order; none where they were not asked for.
    """

    train: imageset.ImageSet
    val: imageset.ImageSet
    test: imageset.ImageSet
    report: DatasetReport
    held_back: imageset.ImageSet

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


def prepare(
    config: DataConfig,
    *,
    seed: int,
    hold_back: bool = False,
    most_pixels: int = SMALL_PIXELS,
    describe: Describe | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Read the source, leave out what cannot be used, keep duplicates and groups on one side, split.

    The result depends on the images, `config` and `seed`, not on the order of files or on where they lie.

    Args:
        config: what to read and how.
        seed: root of the split's and the long tail's choices.
        hold_back: whether the training images left out are wanted too.
        most_pixels: a side, where `config.image_size` does not say.
        describe: by what related images are found beside their pixels; None: by these alone.
        progress: told the images read and the images in all.

    Raises:
        DataError: the images, their labels or their splits cannot be used; one line that says why.
    """
    return _divided(_collected(config, most_pixels, describe, progress), config, seed, None, hold_back)


def prepare_divisions(
    config: DataConfig,
    *,
    repetitions: int,
    seed: int,
    hold_back: bool = False,
    most_pixels: int = SMALL_PIXELS,
    describe: Describe | None = None,
    progress: Progress = silent,
) -> Iterator[Prepared]:
    """Read once, and divide as often as the design says: as a repeated k-fold cross-validation, `repetitions` times
    `config.split.folds` data sets, the folds of a repetition one after the other; or with `config.split.draws` once for
    each repetition, with the same test part. Raises as `prepare`, and where a fold cannot test a class."""
    word, folds = config.split.division_word, config.split.folds
    if word is None:
        raise ValueError("neither data.split.folds nor data.split.draws is set")
    divisions: list[split.Fold | split.Draw] = [split.Draw(repetition) for repetition in range(repetitions)]
    if folds is not None:
        divisions = [split.Fold(folds, repetition, n) for repetition in range(repetitions) for n in range(folds)]
    collected = _collected(config, most_pixels, describe, progress)
    classes: tuple[str, ...] = ()
    for division in divisions:
        prepared = _divided(collected, config, seed, division, hold_back)
        classes = classes or prepared.train.classes
        if prepared.train.classes != classes:
            raise DataError(
                f"data.small_classes: a class is large enough in some {word}s only; leave it out with data.classes, "
                "or keep it: --set data.small_classes=keep"
            )
        yield prepared


@dataclass(frozen=True)
class _Collected:
    """What was read, and what in it is equal, nearly so, or related."""

    listing: Listing
    read: reading.ReadImages
    rejected: tuple[Rejected, ...]
    duplicates: DuplicateGraph
    related: NDArray[np.int64]
    size: int
    preprocessing: scaling.Preprocessing
    shortcuts: tuple[shortcuts.Shortcut, ...]
    channels: int
    notes: tuple[str, ...]


def _collected(config: DataConfig, most_pixels: int, describe: Describe | None, progress: Progress) -> _Collected:
    listing = reading.list_images(config)
    survey = reading.survey(listing.items)
    size = config.image_size or reading.default_size(survey.sides, len(listing.items), most_pixels)
    fit = reading.default_fit(survey.sides) if config.fit == "auto" else config.fit
    preprocessing = scaling.Preprocessing(fit=fit, scale=survey.scale)
    read = reading.read_all(listing.items, size, preprocessing, progress)
    rejections = (*listing.rejected, *read.rejected)
    reading.check_rejected(rejections, len(read.items), config.max_rejected)
    duplicates = find_duplicates(
        read.thumbnails, read.digests, config.duplicates.distance, config.duplicates.correlation
    )
    labels = [item.label for item in read.items]
    telling = shortcuts.find_shortcuts(read.properties, labels, reading.OF_CONTENT)
    channels = config.channels or (1 if read.all_grey else 3)
    related, notes = _related(read, duplicates.owner, channels, config.duplicates.related, describe, progress)
    return _Collected(listing, read, rejections, duplicates, related, size, preprocessing, telling, channels, notes)


def _related(
    read: reading.ReadImages,
    owner: NDArray[np.int64],
    channels: int,
    means: Related,
    describe: Describe | None,
    progress: Progress,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Pairs of numbers of sets of equal images that are related, the nearest first; and a line where something was not
    done."""
    first = np.unique(owner, return_index=True)[1]
    none = np.empty((0, 2), np.int64)
    if means == "apart":
        return none, ()
    if len(first) > _MOST_COMPARED:
        return none, (f"More than {_MOST_COMPARED:,} images: related ones were not sought.",)
    if means == "pixels" or describe is None or len(first) < FEWEST:
        return related_pairs(read.thumbnails[first], None), ()
    if len(first) > _MOST_DESCRIBED:
        note = f"More than {_MOST_DESCRIBED:,} images: related ones were sought by their pixels alone."
        return related_pairs(read.thumbnails[first], None), (note,)
    parts = []
    for start in range(0, len(first), _DESCRIBED_AT_ONCE):
        squares = [read.squares[n] for n in first[start : start + _DESCRIBED_AT_ONCE]]
        pixels = np.stack([resize.with_channels(square, channels) for square in squares])
        parts.append(describe(torch.from_numpy(pixels)).numpy())
        progress(start + len(pixels), len(first))
    return related_pairs(read.thumbnails[first], np.concatenate(parts)), ()


def _divided(
    collected: _Collected, config: DataConfig, seed: int, division: split.Fold | split.Draw | None, hold_back: bool
) -> Prepared:
    listing, read, size = collected.listing, collected.read, collected.size
    labels, ids = [item.label for item in read.items], [item.id for item in read.items]
    assigned = assign.assign(read.items, collected.duplicates, collected.related, config, seed, division)
    sides = list(assigned.sides)
    own_seed = division.seed(seed) if isinstance(division, split.Draw) else seed
    left_out = _thin(sides, labels, ids, listing.classes, config, own_seed)
    thinned = len(left_out)
    shares: list[str] = []
    if isinstance(division, split.Draw):
        available = Counter(label for label, side in zip(labels, assigned.sides, strict=True) if side in _DRAWN)
        _thin_validation(sides, labels, ids, listing.classes, config.split.validation, own_seed)
        drawn_counts = Counter(label for label, side in zip(labels, sides, strict=True) if side in _DRAWN)
        shares = _about_draws(drawn_counts, available)
    causes = [*checks.why_together(assigned.groups), *(note.rstrip(".") for note in listing.notes)]
    images, train_images = Counter(labels), _count(sides, labels, listing.classes, "train")

    def why(names: Container[str]) -> list[str]:
        thin = [f"{thinned} training images were left out to make the long tail or the low-data set"] if thinned else []
        return checks.why_left_out(read.items, assigned.removed, names, (None, "train"), "training") + thin + causes

    small = checks.small_classes(train_images, images, config.small_classes, config.min_per_class, why)
    classes = tuple(c for c in listing.classes if c not in small)
    if isinstance(division, split.Fold):
        split.check_fold(labels, assigned.groups, assigned.sides, classes, division.folds)
    lines = checks.check_sides(
        _count(sides, labels, classes, "val"),
        _count(sides, labels, classes, "test"),
        lambda: checks.why_left_out(read.items, assigned.removed, classes, ("val",), "validation") + causes,
    )

    channels = collected.channels
    rows_of = {side: [n for n, s in enumerate(sides) if s == side] for side in ("train", "val", "test")}
    left_out = sorted(left_out, key=lambda n: (seeds.derive(own_seed, "held_back", labels[n], ids[n]), ids[n]))
    train, val, test, held_back = (
        _image_set(
            read, [n for n in rows if labels[n] in classes], classes, assigned.groups, listing.name, size, channels
        )
        for rows in (*rows_of.values(), left_out if hold_back else [])
    )
    report = DatasetReport(
        source=listing.name,
        image_size=size,
        channels=channels,
        classes=classes,
        split=assigned.origin,
        counts={"train": train.counts(), "val": val.counts(), "test": test.counts()},
        facts=read.facts,
        preprocessing=collected.preprocessing,
        shortcuts=collected.shortcuts,
        rejected=collected.rejected,
        duplicates=assigned.duplicates,
        conflicts=assigned.conflicts,
        removed=assigned.removed,
        leaks=assigned.leaks,
        dropped=tuple(Dropped(name=name, images=count) for name, count in small.items()),
        thinned=thinned,
        notes=(),
    )
    notes = (*listing.notes, *describe_findings(report, len(read.items)), *collected.notes, *lines, *shares)
    return Prepared(train, val, test, report.model_copy(update={"notes": notes}), held_back)


def _thin(
    sides: list[Split | None],
    labels: Sequence[str],
    ids: Sequence[str],
    classes: Sequence[str],
    config: DataConfig,
    seed: int,
) -> list[int]:
    """Take training images out of `sides`, for a long tail and for the low-data mode; their positions."""
    removed: list[int] = []
    if (ratio := config.long_tail) is not None:
        counts = _count(sides, labels, classes, "train")
        removed += _keep(sides, labels, ids, "train", thinning.profile(counts, ratio), seed, "long_tail")
    if config.per_class is not None:
        most = thinning.class_limits(config.per_class, _count(sides, labels, classes, "train"))
        removed += _keep(sides, labels, ids, "train", most, seed, "low_data")
    return removed


def _thin_validation(
    sides: list[Split | None],
    labels: Sequence[str],
    ids: Sequence[str],
    classes: Sequence[str],
    share: float,
    seed: int,
) -> None:
    """Leave as many validation images of each class as make up `share` of those drawn, one at least: who has few images
    to train on has few to choose by."""
    most = {
        name: max(1, floor(count * share / (1 - share) + 0.5))
        for name, count in _count(sides, labels, classes, "train").items()
    }
    _keep(sides, labels, ids, "val", most, seed, "validation")


def _keep(
    sides: list[Split | None],
    labels: Sequence[str],
    ids: Sequence[str],
    side: Split,
    most: Mapping[str, int],
    seed: int,
    stage: str,
) -> list[int]:
    """Take all but `most[class]` images of one side out of `sides`; their positions."""
    rows = [n for n, s in enumerate(sides) if s == side]
    chosen = thinning.choose_of_each([labels[n] for n in rows], [ids[n] for n in rows], most, seed, stage)
    removed = [n for n, keep in zip(rows, chosen, strict=True) if not keep]
    for n in removed:
        sides[n] = None
    return removed


def _about_draws(drawn: Mapping[str, int], available: Mapping[str, int]) -> list[str]:
    """A line where a draw takes most of what there is, so that one is much like the next."""
    large = [f"{name} ({drawn[name]} of {count})" for name, count in available.items() if drawn[name] > count / 2]
    if not large:
        return []
    return [
        f"Each draw takes more than half of the images that are no test images of {', '.join(large)}: the repetitions "
        "are more alike than with fresh images."
    ]


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
