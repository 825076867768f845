"""The contact sheet: real and synthetic images of each class side by side, each synthetic one above the real image
that is most like it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synaug_core.data import png
from synaug_core.report import html, words
from synaug_core.report.tiles import Row, sheet

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from synaug_core.data.imageset import ImageSet

__all__ = ["ON_PAGE", "SCORE_NAMES", "contact_page", "contact_sheet"]

Scores = Mapping[str, Sequence[float | None]]
"""Name -> a value for each image; None or NaN where undefined."""

SCORE_NAMES = {
    "alpha": "a",
    "label_probability": "probability of its class",
    "memorisation": "distance to nearest real",
    "nearest_distance": "distance to nearest real",
    "uncertainty_before": "uncertainty before",
    "uncertainty_after": "uncertainty after",
}
"""What scores are called in print; others are called by their own name."""

_SMALLEST, _LARGEST = 64, 128
_REAL_WIDTH, _MADE_WIDTH, _GAP = 310, 700, 6
ON_PAGE, _IN_ROW = 24, 12
"""Most images of each kind and class; fewer where there are many classes."""
_MOST_TILES = 1200
"""Synthetic images on one page, all classes together: the page stays some megabytes."""


def contact_page(
    train: ImageSet,
    synthetic: ImageSet,
    nearest: Tensor | None = None,
    scores: Scores | None = None,
    *,
    heading: str = "",
    note: str = "",
) -> str:
    """One self-contained HTML page without scripts; an image's scores and parents appear when it is pointed at.

    Args:
        train: real images.
        synthetic: synthetic images of the same classes; classes without any are left out.
        nearest: int64 (n,), for each of `synthetic` the position in `train` of the image most like it; -1: none.
        scores: name -> a value for each of `synthetic`; None or NaN where undefined. Numbers in the images' provenance,
            such as `label_probability` or `alpha`, are shown without being named here.
        heading: the page's title.
        note: a line below it, such as what made the images.

    Raises:
        ValueError: `nearest` or a score does not have one value for each image.
    """
    scores = scores or {}
    index = _positions(synthetic, nearest)
    _check(synthetic, scores)
    counts, real_counts = synthetic.counts(), train.counts()
    names = [name for name in synthetic.classes if counts[name]]
    per_class = max(1, min(ON_PAGE, _MOST_TILES // max(len(names), 1)))
    blocks = []
    for name in names:
        synthetic_rows = synthetic.rows_of(name)[:per_class].tolist()
        cells = [_cell(train, synthetic, i, index[i] if index else None, scores) for i in synthetic_rows]
        train_rows = train.rows_of(name)[:per_class].tolist()
        real_cells = [{"image": _address(train.images[i]), "id": words.plain(train.ids[i], 60)} for i in train_rows]
        blocks.append(
            {"name": name, "real": real_counts.get(name, 0), "made": counts[name], "reals": real_cells, "cells": cells}
        )
    side = _side(synthetic.size)
    return html.render(
        "contact.html",
        heading=heading or "Real and synthetic images",
        note=note,
        blocks=blocks,
        side=side,
        real_columns=max(2, _REAL_WIDTH // (side + _GAP)),
        made_columns=max(3, _MADE_WIDTH // (side + _GAP)),
        pixelated=synthetic.size <= side,
        nearest=index is not None,
    )


def contact_sheet(
    train: ImageSet,
    synthetic: ImageSet,
    nearest: Tensor | None = None,
    *,
    heading: str = "",
) -> Image.Image:
    """The same as one picture: for each class real images, synthetic ones, and below each its nearest real one.

    Raises:
        ValueError: `nearest` does not have one value for each image.
    """
    import torch

    index = _positions(synthetic, nearest)
    counts, real_counts = synthetic.counts(), train.counts()
    names = [name for name in synthetic.classes if counts[name]]
    per_class = _IN_ROW if len(names) <= 12 else _IN_ROW // 2
    real_columns = max(2, per_class // 2)
    blank = torch.full((1, *synthetic.images.shape[1:]), 255, dtype=torch.uint8)
    rows = []
    for name in names:
        synthetic_rows = synthetic.rows_of(name)[:per_class].tolist()
        real_images = train.images[train.rows_of(name)[: 2 * real_columns]].cpu()
        upper = torch.cat(
            [real_images[:real_columns], blank.expand(max(0, real_columns - len(real_images)), -1, -1, -1)]
        )
        note = f"{words.number(real_counts.get(name, 0))} real, {words.number(counts[name])} synthetic"
        rows.append(Row(name, note, torch.cat([upper, synthetic.images[synthetic_rows].cpu()]), space=8))
        if index:
            nearest_images = [train.images[k : k + 1].cpu() if (k := index[i]) >= 0 else blank for i in synthetic_rows]
            lower = torch.cat(
                [real_images[real_columns:], blank.expand(real_columns - len(real_images[real_columns:]), -1, -1, -1)]
            )
            rows.append(Row("", "", torch.cat([lower, *nearest_images])))
    right_title = "synthetic, below each the nearest real image" if index else "synthetic"
    columns = (("real", 0), (right_title, real_columns))
    tile = _SMALLEST if len(names) <= 12 else 48
    return sheet(rows, heading=heading, columns=columns, breaks=(real_columns,), tile=tile)


def _positions(synthetic: ImageSet, nearest: Tensor | None) -> list[int] | None:
    if nearest is None:
        return None
    if nearest.shape != (len(synthetic),):
        raise ValueError(
            f"nearest: one position for each of {len(synthetic)} images expected, got {tuple(nearest.shape)}"
        )
    return [int(i) for i in nearest.tolist()]


def _check(synthetic: ImageSet, scores: Scores) -> None:
    for name, values in scores.items():
        if len(values) != len(synthetic):
            raise ValueError(f"scores: {len(synthetic)} values of {name} expected, got {len(values)}")


def _cell(train: ImageSet, synthetic: ImageSet, i: int, nearest_row: int | None, scores: Scores) -> dict[str, Any]:
    """What the template shows of one synthetic image."""
    facts = [
        (_score_name(name), f"{v:.3g}") for name, values in scores.items() if (v := _finite(values[i])) is not None
    ]
    origin = json.loads(synthetic.provenance[i])
    parents = origin.get("parents") or []
    measures = {name: v for name, v in origin.items() if name not in scores and isinstance(v, (int, float))}
    facts += [(_score_name(name), f"{v:.3g}") for name, v in measures.items() if _finite(v) is not None]
    lines = []
    if parents:
        parent_names = [words.plain(p, 60) for p in parents[:2]] if len(parents) < 3 else [words.plain(parents[0], 60)]
        lines.append(
            "From " + " and ".join([*parent_names, *([f"{len(parents) - 1} more"] if len(parents) > 2 else [])])
        )
    if has_nearest := nearest_row is not None and nearest_row >= 0:
        nearest_id = train.ids[nearest_row]
        lines.append(f"Nearest: {words.plain(nearest_id, 60)}{', a parent' if nearest_id in parents else ''}")
    return {
        "id": words.plain(synthetic.ids[i], 60),
        "image": _address(synthetic.images[i]),
        "nearest": _address(train.images[nearest_row]) if has_nearest else "",
        "facts": facts,
        "lines": lines,
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _score_name(name: str) -> str:
    return SCORE_NAMES.get(name, words.plain(name.replace("_", " "), 40))


def _side(size: int) -> int:
    """Side of a tile on the page: small images grow by a whole factor, large ones shrink."""
    return min(size * -(-_SMALLEST // size), _LARGEST)


def _address(image: Tensor) -> str:
    """One uint8 image (c, h, w) as an address; larger ones than a tile are reduced to one."""
    from PIL import Image

    picture = Image.fromarray(png.to_pil_array(image.cpu().numpy()))
    if picture.width > _LARGEST:
        picture = picture.resize((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return html.data_uri(picture)
