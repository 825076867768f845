"""The page of a judged set of synthetic images: each figure beside what real images get in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.report.html import render
from synaug_core.report.words import plain

if TYPE_CHECKING:
    from synaug_core.quality.report import QualityReport

__all__ = ["quality_page"]

COLUMNS = (
    ("n", "images", "looked at", 0),
    ("matched", "n", "images of each kind in the comparisons with held-out real images", 0),
    ("kid", "KID", "kernel distance to held-out real images; lower is nearer", 3),
    ("kid_z", "KID z", "standard deviations above the distance of real images to real images", 1),
    ("density", "density", "1: the images lie where real ones do", 2),
    ("coverage", "coverage", "share of the real images near which an image lies", 2),
    ("vendi_relative", "variety", "Vendi score over the held-out real images' own", 2),
    ("nearest_ratio", "nearest", "distance to the nearest training image over that image's to its own nearest", 2),
    ("authentic", "authentic", "share of images farther from the training image than that is from its own nearest", 2),
    ("copying_z", "copying", "below about -2: copies", 1),
    ("agreement", "label", "share that judges who have not seen the parents put into the class", 2),
)
"""Field, heading, what it means, decimals."""


def quality_page(report: QualityReport, *, name: str = "") -> str:
    """One self-contained HTML page: a table with a row for each kind of images of each class.

    Args:
        report: of one set of synthetic images.
        name: the data set and the strategy.
    """
    rows = [
        (plain(str(row["class"])), row["images"], [_cell(row.get(field), digits) for field, _, _, digits in COLUMNS])
        for row in report.table()
    ]
    return render("quality.html", name=plain(name, 80), columns=COLUMNS, rows=rows, useful=report.usefulness)


def _cell(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "undefined"
