"""The page of a data set: what is there, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from synaug_core.report.figures.counts import counts_figure
from synaug_core.report.html import Picture, pictures, render
from synaug_core.report.words import SPLIT_NAMES, plain

__all__ = ["dataset_page"]

_LISTED = 200


def dataset_page(report: Mapping[str, Any], *, name: str = "", sheets: Mapping[str, Picture] | None = None) -> str:
    """One self-contained HTML page.

    Args:
        report: a DatasetReport as JSON; parts that are missing are left out.
        name: the data set's name.
        sheets: split or other caption -> sheet of images.
    """
    counts: Mapping[str, Mapping[str, int]] = report.get("counts", {})
    rejected, removed = list(report.get("rejected", ())), list(report.get("removed", ()))
    return render(
        "dataset.html",
        report=report,
        name=plain(name, 60) if name else "",
        images=sum(sum(c.values()) for c in counts.values()),
        figure=pictures({"": counts_figure(counts)}) if counts else [],
        rejected=rejected[:_LISTED],
        more_rejected=max(0, len(rejected) - _LISTED),
        reasons=Counter(r["reason"] for r in removed).most_common(),
        conflicts=list(report.get("conflicts", ()))[:_LISTED],
        duplicates=Counter(d["kind"] for d in report.get("duplicates", ())),
        dropped=list(report.get("dropped", ())),
        notes=list(report.get("notes", ())),
        sheets=pictures({SPLIT_NAMES.get(caption, caption): sheet for caption, sheet in (sheets or {}).items()}),
    )
