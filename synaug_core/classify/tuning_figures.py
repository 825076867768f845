"""The course of a search and what mattered in it, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synaug_core.classify.search_space import TrialRow
from synaug_core.config import HYPERPARAMETERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["history_figure", "importance_figure"]

_BLUE, _GREY, _ORANGE = "#1f5f99", "#9a9a9a", "#d9730d"


def history_figure(rows: Sequence[TrialRow]) -> Figure:
    """Value of each trial by number and the best so far; pruned trials at the last score they had."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    done = [(r.number, r.value) for r in rows if r.state == "complete" and r.value is not None]
    cut = [(r.number, r.value) for r in rows if r.state == "pruned" and r.value is not None]
    if done:
        axes.plot(*zip(*done, strict=True), "o", color=_BLUE, label="completed")
        top = [max(v for n, v in done if n <= number) for number, _ in done]
        newest = max(r.number for r in rows)
        axes.step([*(n for n, _ in done), newest], [*top, top[-1]], where="post", color=_ORANGE, label="best so far")
    if cut:
        axes.plot(*zip(*cut, strict=True), "x", color=_GREY, label="pruned, last score")
    if not done and not cut:
        axes.text(0.5, 0.5, "no trial has ended", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.legend(frameon=False)
    axes.set(xlabel="trial", ylabel="validation balanced accuracy", title="Search for hyper-parameters")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def importance_figure(shares: Mapping[str, float]) -> Figure:
    """Bars of the parameters' importances, the largest on top; a sentence where they cannot be told."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.5 * max(len(shares), 3) + 1), layout="constrained")
    axes = figure.subplots()
    if not shares:
        axes.text(0.5, 0.5, "too few completed trials to tell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    names = [HYPERPARAMETERS[name].title for name in shares]
    bars = axes.barh(names, list(shares.values()), color=_BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(*shares.values(), 1e-6))
    axes.set(
        xlabel="share of the importance (PED-ANOVA; rough for few trials)",
        title="What decided between good and poor trials",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
