"""How class-specific models were fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.generators.fit_report import FitReport

__all__ = ["fit_figure"]

_PANELS = (
    ("loss", "training loss"),
    ("held_out_loss", "held-out loss"),
    ("kl", "KL term"),
)


def fit_figure(reports: Mapping[str, FitReport]) -> Figure:
    """Losses by step of every class of a group, and how much of the latent space each uses.

    The bars on the right name the lines' colours. A dot marks the step whose weights were kept.
    """
    classes = list(reports)
    colours = style.line_colours(classes)
    figure = style.new_figure(12.5, max(3.6, 1.2 + 0.23 * len(classes)))
    grid = figure.subplots(1, 4, width_ratios=[1, 1, 1, 0.9])
    for axes, (curve, name) in zip(grid, _PANELS, strict=False):
        _curves(axes, reports, curve, colours)
        style.title(axes, name)
        axes.set_xlabel("step")
    grid[0].set_ylabel("nats per image")
    _active(grid[3], reports, colours)
    return figure


def _curves(axes: Axes, reports: Mapping[str, FitReport], curve: str, colours: Mapping[str, str]) -> None:
    style.dress(axes, grid="y", small=True)
    late: list[float] = []
    for name, report in reports.items():
        found = {n: (steps, values) for n, steps, values in report.series()}
        if curve not in found:
            continue
        steps, values = found[curve]
        axes.plot(steps, values, color=colours[name], lw=1.6 if len(reports) <= 8 else 0.9)
        if curve == "held_out_loss" and report.best_step in steps:
            kept = values[steps.index(report.best_step)]
            axes.plot(report.best_step, kept, "o", color=colours[name], ms=5, mec="white", mew=0.7)
            late.append(kept)
        late.extend(values[len(values) // 10 if curve != "kl" and len(values) > 3 else 0 :])
    late = [v for v in late if np.isfinite(v)]
    if not late:
        axes.text(0.5, 0.5, "none held out", transform=axes.transAxes, ha="center", color=style.GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    # the first steps' losses dwarf all that follows
    low, high = min(late), max(late)
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(left=0)


def _active(axes: Axes, reports: Mapping[str, FitReport], colours: Mapping[str, str]) -> None:
    style.dress(axes, small=True)
    total = max((r.latent_dim for r in reports.values()), default=0) or 1
    rows = range(len(reports))
    axes.barh(rows, [total] * len(reports), color="#f3f4f6", height=0.72)
    axes.barh(rows, [r.active_units for r in reports.values()], color=[colours[c] for c in reports], height=0.72)
    for row, report in zip(rows, reports.values(), strict=True):
        note = "diverged" if report.status == "diverged" else "collapsed" if report.collapsed else ""
        axes.text(
            report.active_units + 0.015 * total,
            row,
            f"{report.active_units} {note}",
            va="center",
            fontsize=7.5,
            color="#b91c1c" if note else style.INK,
            fontweight="bold" if note else "normal",
        )
    names = [f"{in_figure(c, 20)} ({r.images + r.held_out})" for c, r in reports.items()]
    axes.set_yticks(rows, names)
    axes.tick_params(axis="y", length=0, labelsize=7.5 if len(reports) > 8 else 9)
    axes.set_ylim(len(reports) - 0.5, -0.5)
    axes.set_xlim(0, total * 1.12)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlabel(f"of {total}; class's images in brackets")
    style.title(axes, "active latent units")
