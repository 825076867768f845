"""How the classifier of all arms was chosen, for the report of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.metrics import METRICS
from synaug_core.probes.base import Band, ReportSection, Table
from synaug_core.report import words

if TYPE_CHECKING:
    from synaug_core.refs import SelectionRef, Standing

__all__ = ["selection_section"]


def selection_section(selections: Sequence[SelectionRef]) -> ReportSection:
    """The candidates and how they did, in the first division where there are several.

    Args:
        selections: one for all divisions, or of each fold.
    """
    first = selections[0]
    accuracy, auc = (METRICS[name].title for name in ("balanced_accuracy", "macro_auc"))
    sentences = [
        f"All arms have the same classifier: {words.plain(first.standings[0].title)}. Nothing named one, so "
        f"{len(first.standings)} candidates were trained with the recipe of the arm `control` on real images of the "
        "training and validation parts, and judged on images of these parts that they had not seen. The test images "
        "had no part in the choice."
    ]
    if len(selections) > 1:
        winners = [selection.candidate for selection in selections]
        counts = ", ".join(f"{words.plain(name)} {winners.count(name)} times" for name in dict.fromkeys(winners))
        sentences.append(
            f"That holds in the first fold, whose figures these are; it was chosen anew in each fold ({counts})."
        )
    return ReportSection(
        anchor="selection",
        heading="The choice of the classifier",
        sentences=sentences,
        table=Table(
            headings=("classifier", f"{accuracy} ± standard error", auc, "images judged", "remark"),
            rows=[(words.plain(s.title), _cells(s)) for s in first.standings],
            note="Candidates with fewer judged images fell behind and were not tried on the other parts.",
        ),
    )


def _cells(standing: Standing) -> list[str | Band | None]:
    if standing.balanced_accuracy is None:
        return ["", "", "", words.plain(standing.reason, 160)]
    value, error = 100 * standing.balanced_accuracy, 100 * (standing.standard_error or 0)
    auc = "" if standing.macro_auc is None else f"{100 * standing.macro_auc:.1f}"
    return [f"{value:.1f} ± {error:.1f}", auc, words.number(standing.images), ""]
