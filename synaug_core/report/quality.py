"""How good a set of synthetic images is: its page and its tables, each figure beside that of real images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synaug_core.report import html, words

if TYPE_CHECKING:
    from synaug_core.quality.report import ClassQuality, Figures, QualityReport

__all__ = ["QualityTable", "describe_separability", "quality_page", "quality_tables"]

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
    (
        "separability",
        "real or synthetic",
        "area under the curve (AUC) of a small classifier that tells the images from real ones by simple statistics of "
        "their pixels; of real images: what 99 % of such classifiers stay below by chance",
        2,
    ),
)
"""Fields of `quality.report.Figures`: name, heading, meaning, decimals."""


def quality_page(report: QualityReport, *, name: str = "") -> str:
    """The page of a run that assessed a set of images: all figures of every class."""
    rows = [
        (
            words.plain(str(row["class"])),
            row["images"],
            [_page_cell(row.get(field), digits) for field, _, _, digits in COLUMNS],
        )
        for row in report.table()
    ]
    return html.render(
        "quality.html",
        name=words.plain(name, 80),
        columns=COLUMNS,
        rows=rows,
        useful=report.usefulness,
        separable=describe_separability(report),
        space=words.plain(report.space, 300),
    )


def _page_cell(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "undefined"


_MEANS = (
    "kid",
    "kid_z",
    "density",
    "coverage",
    "vendi_relative",
    "nearest_ratio",
    "copying_z",
    "agreement",
    "separability",
)
_FEW = 12
_MOST_NAMED = 4

Cell = tuple[str, list[str]]
"""The first line of a cell, and the smaller lines below it."""


@dataclass(frozen=True)
class QualityTable:
    """The figures of one set of images, for the page of the comparison."""

    arms: str
    rows: list[tuple[str, list[str], list[Cell]]]
    means: list[Cell]
    closed: bool
    useful: str
    separable: str


def quality_tables(quality: Mapping[str, QualityReport]) -> tuple[list[tuple[str, str]], list[QualityTable]]:
    """The headings with their meanings, and a table for each set of images; `quality` is by the names of its arms."""
    columns = {field: (heading, meaning, digits) for field, heading, meaning, digits in COLUMNS}
    headings = [(columns[f][0], columns[f][1]) for f in _MEANS]
    return headings, [_table(arms, report, columns) for arms, report in quality.items() if report.classes]


def _table(arms: str, report: QualityReport, columns: Mapping[str, tuple[str, str, int]]) -> QualityTable:
    synthetic_means, real_means = report.overall(), report.overall("reals")

    def mean(field: str) -> Cell:
        value, real_value = synthetic_means.get(field), real_means.get(field)
        details = [f"real {_text(real_value.value, columns[field][2])}"] if real_value else []
        return _text(value.value if value else None, columns[field][2]), details

    return QualityTable(
        arms=arms,
        rows=[(name, _counts(q), [_cell(q, f, columns[f][2]) for f in _MEANS]) for name, q in report.classes.items()],
        means=[mean(field) for field in _MEANS],
        closed=len(report.classes) > _FEW,
        useful=_useful(report),
        separable=describe_separability(report),
    )


def _counts(quality: ClassQuality) -> list[str]:
    s = quality.synthetic
    lines = [f"{s.n} of {quality.synthetic_count} looked at", f"{s.matched} beside real ones"]
    return [*lines, f"{s.judged} with a judge"] if s.judged != s.n else lines


def _cell(quality: ClassQuality, field: str, digits: int) -> Cell:
    value = _text(getattr(quality.synthetic, field), digits)
    if field == "kid":
        return value, _null(quality.synthetic)
    comparisons = [("real", quality.reals), ("recon.", quality.reconstruction)]
    lines = [
        f"{name} {_text(v, digits)}"
        for name, f in comparisons
        if f is not None and (v := getattr(f, field)) is not None
    ]
    return value, lines


def _null(figures: Figures) -> list[str]:
    """What real images get, below the kernel distance."""
    mean, std = figures.kid_null_mean, figures.kid_null_std
    if mean is None or std is None:
        return []
    return [f"real {_text(mean, 3)}", f"± {_text(std, 3)}", f"n = {figures.kid_null_n}"]


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def describe_separability(report: QualityReport) -> str:
    """In which classes a small classifier tells synthetic from real images; empty where in none."""
    separable = {name: quality for name, quality in report.classes.items() if quality.is_separable}
    if not separable:
        return ""
    named = [
        f"{words.plain(name, 60)} (AUC {_text(q.synthetic.separability, 2)}; "
        f"chance reaches {_text(q.reals.separability, 2)})"
        for name, q in list(separable.items())[:_MOST_NAMED]
    ]
    if len(separable) > _MOST_NAMED:
        named.append(f"{len(separable) - _MOST_NAMED} more")
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    text = f"A small classifier tells synthetic from real images of {listed}."
    if len(report.classes) == len(report.all_classes):
        return text
    return f"{text} Only some classes have synthetic images, so that what gives these away can become their mark."


def _useful(report: QualityReport) -> str:
    usefulness = report.usefulness
    if usefulness is None or usefulness.real is None or usefulness.synthetic is None:
        return ""
    n = len(usefulness.replaced)
    return (
        f"Synthetic images in place of a part of the real ones, in {n} class{'es' * (n != 1)}: a classifier trained so "
        f"reaches {100 * usefulness.synthetic:.1f} % balanced accuracy on held-out real images, trained on the real "
        f"ones {100 * usefulness.real:.1f} %."
    )
