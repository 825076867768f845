"""How good the synthetic images are, in rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synaug_core.report.quality import COLUMNS

if TYPE_CHECKING:
    from synaug_core.quality.report import ClassQuality, Figures, QualityReport

__all__ = ["QualityTable", "quality_tables"]

_MEANS = ("kid", "kid_z", "density", "coverage", "vendi_relative", "nearest_ratio", "copying_z", "agreement")
_FEW = 12

Cell = tuple[str, list[str]]
"""A value and the lines below it."""


@dataclass(frozen=True)
class QualityTable:
    """One set of images.

    Attributes:
        arms: that use it.
        rows: class, lines with its counts, and for each column the value and the lines below it.
        means: the same over the classes.
        closed: whether there are so many classes that their rows are folded away.
        useful: what training on synthetic images in place of real ones gave, in words; "" where unknown.
    """

    arms: str
    rows: list[tuple[str, list[str], list[Cell]]]
    means: list[Cell]
    closed: bool
    useful: str


def quality_tables(quality: Mapping[str, QualityReport]) -> tuple[list[tuple[str, str]], list[QualityTable]]:
    """Heading and meaning of each column, and a table for each set of images that was judged."""
    known = {field: (heading, meaning, digits) for field, heading, meaning, digits in COLUMNS}
    shown = [(known[f][0], known[f][1]) for f in _MEANS]
    return shown, [_table(arms, report, known) for arms, report in quality.items() if report.classes]


def _table(arms: str, report: QualityReport, known: Mapping[str, tuple[str, str, int]]) -> QualityTable:
    made, real = report.overall(), report.overall("reals")

    def mean(field: str) -> Cell:
        value, beside = made.get(field), real.get(field)
        below = [f"real {_text(beside.value, known[field][2])}"] if beside else []
        return _text(value.value if value else None, known[field][2]), below

    return QualityTable(
        arms=arms,
        rows=[(name, _counts(q), [_cell(q, f, known[f][2]) for f in _MEANS]) for name, q in report.classes.items()],
        means=[mean(field) for field in _MEANS],
        closed=len(report.classes) > _FEW,
        useful=_useful(report),
    )


def _counts(quality: ClassQuality) -> list[str]:
    s = quality.synthetic
    said = [f"{s.n} of {quality.made} looked at", f"{s.matched} beside real ones"]
    return [*said, f"{s.judged} with a judge"] if s.judged != s.n else said


def _cell(quality: ClassQuality, field: str, digits: int) -> Cell:
    value = _text(getattr(quality.synthetic, field), digits)
    if field == "kid":
        return value, _null(quality.synthetic)
    beside = [("real", quality.reals), ("recon.", quality.reconstruction)]
    told = [
        f"{name} {_text(v, digits)}" for name, f in beside if f is not None and (v := getattr(f, field)) is not None
    ]
    return value, told


def _null(figures: Figures) -> list[str]:
    """What real images are apart from real images."""
    mean, std = figures.kid_null_mean, figures.kid_null_std
    if mean is None or std is None:
        return []
    return [f"real {_text(mean, 3)}", f"± {_text(std, 3)}", f"n = {figures.kid_null_n}"]


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _useful(report: QualityReport) -> str:
    found = report.usefulness
    if found is None or found.real is None or found.synthetic is None:
        return ""
    n = len(found.replaced)
    return (
        f"Synthetic images in place of as many real ones, in {n} class{'es' * (n != 1)}: a classifier trained so "
        f"reaches {100 * found.synthetic:.1f} % balanced accuracy on held-out real images, trained on the real ones "
        f"{100 * found.real:.1f} %."
    )
