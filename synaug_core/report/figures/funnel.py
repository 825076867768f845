"""How many images were made, how many were kept, and why the others were dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.report import style
from synaug_core.report.words import in_figure, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["funnel_figure"]

_KEPT = "#0072B2"
_REASONS = ("#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#009E73", "#9ca3af")
_SURPLUS = "#d1d5db"
_SHORT = "#b91c1c"


def funnel_figure(funnel: Mapping[str, Mapping[str, Any]], heading: str = "") -> Figure:
    """A bar for each class: kept images, then the dropped ones by reason; a mark where the plan is filled.

    Args:
        funnel: class -> `wanted`, `made`, `kept` (counts), `dropped` (reason -> count) and `filled` (whether as many
            as wanted were kept), one class at least, and `surplus` where images passed that were not needed any
            more. A class's counts may all be 0.
        heading: above the figure.
    """
    reasons = list(dict.fromkeys(reason for of in funnel.values() for reason, n in of["dropped"].items() if n))
    parts = [("kept", _KEPT, [of["kept"] for of in funnel.values()])]
    for i, reason in enumerate(reasons):
        label = f"dropped: {in_figure(reason.replace('_', ' '), 40)}"
        parts.append((label, _REASONS[i % len(_REASONS)], [of["dropped"].get(reason, 0) for of in funnel.values()]))
    if any(surplus := [of.get("surplus", 0) for of in funnel.values()]):
        parts.append(("not needed", _SURPLUS, surplus))
    rows = range(len(funnel))
    roomy = len(funnel) <= 12
    figure = style.new_figure(9.5, 1.5 + (0.42 if roomy else 0.28) * max(len(funnel), 2))
    axes = figure.add_subplot()
    style.dress(axes, grid="x", small=not roomy)
    longest = max((max(of["made"], of["wanted"]) for of in funnel.values()), default=0) or 1
    left = [0] * len(funnel)
    for label, colour, values in parts:
        axes.barh(rows, values, left=left, color=colour, height=0.68, label=label, edgecolor="white", linewidth=0.6)
        left = [start + value for start, value in zip(left, values, strict=True)]
    wanted = [of["wanted"] for of in funnel.values()]
    axes.vlines(wanted, [r - 0.44 for r in rows], [r + 0.44 for r in rows], color=style.INK, lw=2, label="wanted")
    for row, of in zip(rows, funnel.values(), strict=True):
        text = f"{number(of['kept'])} of {number(of['wanted'])} wanted, {number(of['made'])} made"
        axes.annotate(
            text if of["filled"] else f"{text}, not filled",
            (max(of["made"], of["wanted"]), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL if roomy else 7.5,
            color=style.INK if of["filled"] else _SHORT,
            fontweight="normal" if of["filled"] else "bold",
        )
    axes.set_yticks(rows, [in_figure(name) for name in funnel])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(funnel) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.42)
    axes.set_xticks([t for t in axes.get_xticks() if t <= longest * 1.02 and t == int(t)])
    axes.spines[["left"]].set_visible(False)
    axes.set_xlabel("images")
    if heading:
        style.title(axes, in_figure(heading, 80))
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=style.SMALL)
    return figure
