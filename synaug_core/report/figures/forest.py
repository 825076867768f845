"""Arms by metric with their intervals, and the differences that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.evaluate.sentence import points
from synaug_core.report import style
from synaug_core.report.words import in_figure, metric_name, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.results import Comparison

__all__ = ["forest_figure"]


def forest_figure(comparison: Comparison, metrics: Sequence[str] | None = None) -> Figure:
    """Every arm's mean and interval; the last panel has the differences from the best control.

    Args:
        comparison: what to show.
        metrics: names as in `scores`; default: recall of the rarest class, balanced accuracy, macro-AUC.
    """
    rare = comparison.rarest_class
    rare_recall = f"class/{comparison.slug(rare)}/recall"
    wanted = metrics or (rare_recall, "balanced_accuracy", "macro_auc")
    shown = [m for m in wanted if any(m in result.metrics for result in comparison.arms.values())]
    panels = len(shown) + bool(comparison.others)
    arms = list(comparison.arms)
    figure = style.new_figure(1.4 + 2.45 * panels, 1.15 + 0.46 * len(arms))
    found = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for axes, metric in zip(found, shown, strict=False):
        _metric_panel(axes, comparison, metric)
        name = f"recall of {in_figure(rare, 14)}" if metric == rare_recall else metric_name(metric)
        _title(axes, f"{name}, %")
    if comparison.others:
        _difference_panel(found[-1], comparison)
    found[0].set_yticks(range(len(arms)), [in_figure(a, 20) for a in arms])
    found[0].set_ylim(len(arms) - 0.4, -0.85)
    for axes in found[1:]:
        axes.tick_params(axis="y", length=0)
    return figure


def _metric_panel(axes: Axes, comparison: Comparison, metric: str) -> None:
    styles = style.arm_styles(comparison)
    style.dress(axes, grid="x")
    control = comparison.best_control
    if control and metric in comparison.arms[control].metrics:
        axes.axvline(100 * comparison.arms[control].metrics[metric].mean, color=style.GREY, lw=1, ls=(0, (4, 3)))
    for row, (arm, result) in enumerate(comparison.arms.items()):
        if (value := result.metrics.get(metric)) is None:
            continue
        colour, mark = styles[arm]
        axes.plot([100 * value.low, 100 * value.high], [row, row], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(100 * value.mean, row, mark, color=colour, ms=7.5, mec="white", mew=0.8)
        _value(axes, percent(value.mean), 100 * value.mean, row)


def _title(axes: Axes, text: str) -> None:
    """Smaller than elsewhere: panels are narrow."""
    axes.set_title(text, fontsize=9.5, color=style.INK, loc="left", fontweight="bold")


def _value(axes: Axes, text: str, x: float, row: int) -> None:
    """A number above its mark, clear of the lines behind it."""
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.annotate(
        text,
        (x, row),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=style.SMALL,
        color=style.INK,
        bbox=behind,
    )


def _difference_panel(axes: Axes, comparison: Comparison) -> None:
    styles = style.arm_styles(comparison)
    style.dress(axes, grid="x")
    axes.axvline(0, color=style.GREY, lw=1, ls=(0, (4, 3)))
    rows = {arm: row for row, arm in enumerate(comparison.arms)}
    for c in comparison.others:
        colour, mark = styles[c.arm]
        d, row = c.difference, rows[c.arm]
        axes.plot([100 * d.low, 100 * d.high], [row, row], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(100 * d.mean, row, mark, color=colour, ms=7.5, mec="white", mew=0.8)
        _value(axes, points(d.mean), 100 * d.mean, row)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -1), max(high, 1))
    _title(axes, "difference from best control")
    axes.set_xlabel(f"points of {metric_name(comparison.others[0].metric)}", fontsize=style.SMALL)
