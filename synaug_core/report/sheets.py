"""Sheets of images to look at: what came in, what was generated, what is unusual."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synaug_core.report.tiles import Row, sheet
from synaug_core.report.words import number

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from synaug_core.data.imageset import ImageSet
    from synaug_core.generators.base import Generator

__all__ = [
    "changes",
    "interpolation",
    "preview",
    "real_beside_synthetic",
    "reconstruction",
    "strip",
    "subset",
    "targeted_rows",
    "targeted_sheet",
    "unusual_sheet",
]

_IN_ROW = 10
"""Most images of a class."""
_BESIDE = 6
"""Most of each kind where real ones stand beside synthetic ones."""


def preview(images: ImageSet) -> Image.Image:
    """The first images of every class, with the class's name and its number of images."""
    counts = images.counts()
    blocks = _blocks(len(counts))
    rows = [
        Row(name, _images(counts[name]), _first(images, name, _IN_ROW // blocks), missing="no images")
        for name in images.classes
    ]
    return sheet(rows, blocks=blocks, tile=_tile(len(counts)))


def _reconstruction_sheet(original: ImageSet, decoded: Tensor) -> Image.Image:
    """Two rows for each class that has images: originals above what was decoded of them, in the same order."""
    counts = {name: n for name, n in original.counts().items() if n}
    blocks = 1 if len(counts) <= 6 else 2 if len(counts) <= 16 else 3
    rows = []
    for name in counts:
        index = original.rows_of(name)[: _IN_ROW // blocks]
        rows.append(Row(name, "original", original.images[index], space=8))
        rows.append(Row("", "reconstruction", decoded[index]))
    if blocks > 1 and len(counts) % blocks:  # pairs must not be torn apart between blocks
        empty = original.images[:0]
        short = -len(counts) % blocks
        rows += [Row("", "", empty)] * (2 * short)
    return sheet(rows, blocks=blocks, tile=_tile(2 * len(counts)))


def reconstruction(generator: Generator, images: ImageSet) -> Image.Image | None:
    """Images of a fitted generator's classes above what it makes of them; None where it has no latent space."""
    import torch

    from synaug_core.generators import base, pixels

    if not isinstance(generator, base.LatentGenerator):
        return None
    originals = images.head_of_each_class(dict.fromkeys(generator.classes, _IN_ROW))
    decoded = originals.images.clone()
    with torch.no_grad():
        for name in generator.classes:
            is_of_class = originals.labels == originals.classes.index(name)
            if is_of_class.any():
                mean, _ = generator.posteriors(originals.images[is_of_class], name)
                decoded[is_of_class] = pixels.to_uint8(generator.decode(mean, name))
    return _reconstruction_sheet(originals, decoded)


def real_beside_synthetic(real: ImageSet, synthetic: ImageSet) -> Image.Image:
    """Real images on the left, synthetic ones on the right, for each class that has synthetic images."""
    import torch

    synthetic_counts, real_counts = synthetic.counts(), real.counts()
    names = [name for name in synthetic.classes if synthetic_counts[name]]
    blocks = _blocks(len(names))
    per_class = _BESIDE if blocks == 1 else 4 if blocks == 2 else 3
    rows = []
    for name in names:
        real_part, synthetic_part = _first(real, name, per_class), _first(synthetic, name, per_class)
        gap = real_part.new_full((per_class - len(real_part), *synthetic_part.shape[1:]), 255)
        note = f"{number(real_counts.get(name, 0))} real, {number(synthetic_counts[name])} synthetic"
        rows.append(Row(name, note, torch.cat([real_part, gap, synthetic_part])))
    columns = (("real", 0), ("synthetic", per_class))
    return sheet(rows, columns=columns, breaks=(per_class,), blocks=blocks, tile=_tile(len(names)))


def strip(real: ImageSet, synthetic: ImageSet, class_name: str) -> Image.Image:
    """The first real images of one class, and below them the first synthetic ones."""
    parts = (("real", real), ("synthetic", synthetic))
    rows = [
        Row(kind, _images(images.counts().get(class_name, 0)), _first(images, class_name, _IN_ROW), missing="no images")
        for kind, images in parts
    ]
    return sheet(rows, tile=_tile(len(rows)))


def interpolation(rows: Sequence[tuple[str, Tensor]], alphas: Sequence[float]) -> Image.Image:
    """Walks between two images of a class.

    Args:
        rows: a name and its images, uint8 (len(alphas), 1 or 3, h, w).
        alphas: position of each image between the ends.
    """
    columns = [(f"a = {a:.2g}", i) for i, a in enumerate(alphas)]
    return sheet([Row(name, "", images) for name, images in rows], columns=columns, tile=64)


def _first(images: ImageSet, name: str, n: int) -> Tensor:
    return images.images[images.rows_of(name)[:n]]


def _images(n: int) -> str:
    return f"{number(n)} image{'s' * (n != 1)}"


def _blocks(rows: int) -> int:
    return 1 if rows <= 12 else 2 if rows <= 24 else 3


def _tile(rows: int) -> int:
    """Least side of a tile: larger where rows are few."""
    return 84 if rows <= 3 else 64 if rows <= 12 else 48


_PER_ROW = 10
_HEADING = "Most unusual recent images: distance to known ones"


def unusual_sheet(
    images: Tensor, distances: Sequence[float], predicted: Sequence[str], *, relative: bool
) -> Image.Image:
    """Ten images to a row, each row with its largest and smallest distance and the classes predicted in it.

    Args:
        images: uint8 (n, 1 or 3, h, w), the furthest first.
        distances: n of them, largest first.
        predicted: n names of classes.
        relative: whether the distances are multiples of what is usual between known images.
    """
    rows = []
    for start in range(0, len(images), _PER_ROW):
        part = slice(start, start + _PER_ROW)
        names = list(dict.fromkeys(predicted[part]))
        note = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        far = f"{distances[part][0]:.1f} to {distances[part][-1]:.1f}" + " times" * relative
        rows.append(Row(far, f"classed {note}"[:48], images[part]))
    return sheet(rows, heading=_HEADING + ", against what is usual between known ones" * relative)


def changes(train: ImageSet, synthetic: ImageSet, *, per_class: int = 8) -> Image.Image | None:
    """What was done to real images, class by class: the original, the images of other classes that had a part in it,
    the change, and the result.

    Args:
        train: the images that the others were made from.
        synthetic: those that are their first parent and a change to it (`detail` or `donors` in their provenance);
            others are left out.
        per_class: most images of a class.

    Returns:
        None where there is no such image.
    """
    origins = [json.loads(text) for text in synthetic.provenance]
    place = {name: i for i, name in enumerate(train.ids)}
    rows: list[Row] = []
    for name in synthetic.classes:
        shown = [
            i
            for i in synthetic.rows_of(name).tolist()
            if origins[i].get("parents") and ("detail" in origins[i] or "donors" in origins[i])
        ][:per_class]
        if not shown:
            continue
        original = train.images[[place[origins[i]["parents"][0]] for i in shown]]
        change, gain = _difference_image(original, synthetic.images[shown])
        rows.append(Row(name, "original", original, space=12))
        donors = [origins[i].get("donors", ()) for i in shown]
        if names := _DONORS.get(min(map(len, donors)), ()):
            rows += [
                Row("", label, train.images[[place[ids[number]] for ids in donors]])
                for number, label in enumerate(names)
            ]
        rows.append(Row("", f"change \N{MULTIPLICATION SIGN} {gain}", change))
        rows.append(Row("", "result", synthetic.images[shown]))
    return sheet(rows, tile=84 if len(rows) <= 16 else 64) if rows else None


def subset(train: ImageSet, chosen: ImageSet, left_out: Mapping[str, ImageSet], *, per_class: int = 8) -> Image.Image:
    """For each class with a subset: real images, those that were taken of the synthetic ones, and candidates that were
    not, with the mean uncertainty of each row in nats where it is known.

    Args:
        train: real images.
        chosen: the synthetic images that were taken.
        left_out: of each class candidates that were not, the least uncertain first.
        per_class: most images in a row.
    """
    rows: list[Row] = []
    for name, spare in left_out.items():
        taken = chosen.take(chosen.rows_of(name)[:per_class])
        rows.append(Row(name, "real", _first(train, name, per_class), space=12))
        rows.append(Row("", f"taken{_mean_uncertainty(taken)}", taken.images))
        by_uncertainty = bool(_mean_uncertainty(spare))
        half = len(spare) // 2
        low, high = spare.take(range(half)[:per_class]), spare.take(range(half, len(spare))[-per_class:])
        rows.append(Row("", f"left out{_mean_uncertainty(low)}", low.images))
        rows += [Row("", f"left out{_mean_uncertainty(high)}", high.images)] if by_uncertainty else []
    return sheet(rows, tile=84 if len(rows) <= 16 else 64)


def _mean_uncertainty(images: ImageSet) -> str:
    values = [v for text in images.provenance if (v := json.loads(text).get("uncertainty")) is not None]
    return f", uncertainty {sum(values) / len(values):.2g}" if values else ""


_DONORS = {1: ("donor",), 2: ("donor a", "donor b")}
"""Labels of the images of other classes, by how many there are."""


def _difference_image(before: Tensor, after: Tensor) -> tuple[Tensor, int]:
    """`after` - `before`, uint8: mid-grey where they are equal, enlarged so that the strongest half per cent saturates;
    and by which factor."""
    import torch

    change = after.float() - before.float()
    top = float(change.abs().flatten().quantile(0.995)) if change.numel() < 1 << 24 else float(change.abs().max())
    gain = min(_MOST_GAIN, max(1, int(127 / top))) if top else 1
    return (change * gain + 128).round().clamp(0, 255).to(torch.uint8), gain


_MOST_GAIN = 20
_LABELS = {"targeted": "targeted", "random": "random step"}


def targeted_sheet(
    generator: Generator, train: ImageSet, synthetic: ImageSet, *, per_class: int = 8, heading: str = ""
) -> Image.Image | None:
    """Four rows for each class: training images, their reconstructions, what was made of them, what that changed.

    Args:
        generator: the one that made the images.
        train: the parents.
        synthetic: made by `targeted` or `random`; other images are left out.
        per_class: most images of a class.
        heading: a line on top.

    Returns:
        None where the generator has no latent space or no image was made so.
    """
    from synaug_core.generators import base, pixels

    if not isinstance(generator, base.LatentGenerator):
        return None
    origins = [json.loads(text) for text in synthetic.provenance]
    place = {name: i for i, name in enumerate(train.ids)}
    rows: list[Row] = []
    for label, name in enumerate(synthetic.classes):
        rows_of_class = [
            i
            for i, image_label in enumerate(synthetic.labels.tolist())
            if image_label == label and "step_length" in origins[i] and name in generator.classes
        ]
        if not rows_of_class:
            continue
        class_origins = [origins[i] for i in rows_of_class]
        shown_rows, kind = rows_of_class[:per_class], str(class_origins[0].get("strategy", "targeted"))
        original = train.images[[place[origins[i]["parents"][0]] for i in shown_rows]]
        decoded = pixels.to_uint8(generator.decode(generator.posteriors(original, name)[0], name))
        mean = [sum(o[f"uncertainty_{w}"] for o in class_origins) / len(class_origins) for w in ("before", "after")]
        start = original if "detail" in class_origins[0] else decoded  # with its detail, the real image was moved
        rows += targeted_rows(name, original, decoded, synthetic.images[shown_rows], start, kind=kind, uncertainty=mean)
    return sheet(rows, heading=heading, tile=84 if len(rows) <= 16 else 64) if rows else None


def targeted_rows(
    name: str,
    original: Tensor,
    decoded: Tensor,
    synthetic: Tensor,
    start: Tensor,
    *,
    kind: str = "targeted",
    uncertainty: Sequence[float] = (),
) -> list[Row]:
    """A class's four rows.

    The difference is `synthetic` - `start`: mid-grey where they are equal, brighter where `synthetic` is; it is
    enlarged so that the strongest half per cent saturates, by the factor that is stated beside it.

    Args:
        name: the class.
        original: uint8 (n, channels, h, w).
        decoded: their reconstructions, likewise.
        synthetic: what was made of them, likewise.
        start: what was moved to become that: `decoded`, or `original` where the detail was kept.
        kind: strategy of `synthetic`.
        uncertainty: of `start` and of `synthetic`, means of the class; empty where they are not known.
    """
    change_image, gain = _difference_image(start, synthetic)
    before, after = [f", uncertainty {value:.2g}" for value in uncertainty] or ["", ""]
    from_original = start is original
    return [
        Row(name, f"original{before * from_original}", original, space=12),
        Row("", f"reconstruction{before * (not from_original)}", decoded),
        Row("", f"{_LABELS.get(kind, kind)}{after}", synthetic),
        Row("", f"difference \N{MULTIPLICATION SIGN} {gain}", change_image),
    ]
