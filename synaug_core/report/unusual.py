"""A sheet of the recent images that are furthest from the known ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.report.tiles import Row, sheet

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = ["unusual_sheet"]

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
