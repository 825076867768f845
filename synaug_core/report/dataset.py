"""The page of a data set: how many images there are, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.report import html, style, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["counts_figure", "dataset_page"]

_LISTED = 200


def dataset_page(report: Mapping[str, Any], *, name: str = "", sheets: Mapping[str, html.Picture] | None = None) -> str:
    """One self-contained HTML page.

    Args:
        report: a DatasetReport as JSON; parts that are missing are left out.
        name: the data set's name.
        sheets: split or other caption -> sheet of images.
    """
    counts: Mapping[str, Mapping[str, int]] = report.get("counts", {})
    rejected, removed = list(report.get("rejected", ())), list(report.get("removed", ()))
    return html.render(
        "dataset.html",
        report=report,
        name=words.plain(name, 60) if name else "",
        images=sum(sum(c.values()) for c in counts.values()),
        figure=html.embed_pictures({"": counts_figure(counts)}) if counts else [],
        rejected=rejected[:_LISTED],
        more_rejected=max(0, len(rejected) - _LISTED),
        reasons=Counter(r["reason"] for r in removed).most_common(),
        conflicts=list(report.get("conflicts", ()))[:_LISTED],
        duplicates=Counter(d["kind"] for d in report.get("duplicates", ())),
        dropped=list(report.get("dropped", ())),
        notes=list(report.get("notes", ())),
        unusual=report.get("facts", {}).get("by_class", {}),
        sheets=html.embed_pictures(
            {words.SPLIT_NAMES.get(caption, caption): sheet for caption, sheet in (sheets or {}).items()}
        ),
    )


def counts_figure(splits: Mapping[str, Mapping[str, int]]) -> Figure:
    """Images of each class in each split: split -> class -> images; classes in their order."""
    classes = list(dict.fromkeys(c for counts in splits.values() for c in counts))
    figure = style.new_figure(2.2 + 2.4 * len(splits), 0.9 + 0.27 * max(len(classes), 2))
    colours = ("#0072B2", "#E69F00", "#009E73", "#6b7280")
    grid = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for axes, (split, counts), colour in zip(grid, splits.items(), colours * len(splits), strict=False):
        values = [counts.get(c, 0) for c in classes]
        axes.barh(range(len(classes)), values, color=colour, height=0.7)
        for row, value in enumerate(values):
            axes.annotate(
                words.number(value),
                (value, row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=style.INK if value else "#b91c1c",
            )
        style.dress(axes, small=True)
        axes.spines[["bottom"]].set_visible(False)
        axes.set_xticks([])
        axes.set_xlim(0, max([*values, 1]) * 1.18)
        style.title(axes, f"{words.SPLIT_NAMES.get(split, split)}: {words.number(sum(values))}")
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(classes)), [words.in_figure(c) for c in classes])
    grid[0].set_ylim(len(classes) - 0.5, -0.5)
    return figure
