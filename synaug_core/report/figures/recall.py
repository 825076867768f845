"""How well each class is found by each arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.evaluate.comparison import Comparison

__all__ = ["recall_figure"]

_FEW = 8


def recall_figure(comparison: Comparison) -> Figure:
    """Recall of each class in each arm, the rarest class on top: dots with intervals up to 8 classes, else a table
    of colours."""
    tested = [c for c in comparison.by_rarity if comparison.test_counts.get(c)]
    labels = [
        f"{in_figure(c)}\n{comparison.train_counts.get(c, 0)} train, {comparison.test_counts[c]} test" for c in tested
    ]
    if len(tested) <= _FEW:
        return _dots(comparison, tested, labels)
    return _table(comparison, tested, [label.replace("\n", "  ·  ") for label in labels])


def _dots(comparison: Comparison, tested: list[str], labels: list[str]) -> Figure:
    styles, arms = style.arm_styles(comparison), list(comparison.arms)
    figure = style.new_figure(8.6, 1.1 + len(tested) * (0.19 * len(arms) + 0.2))
    axes = figure.add_subplot()
    style.dress(axes, grid="x")
    for row, name in enumerate(tested):
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color="#f7f8fa", zorder=0)
        for i, arm in enumerate(arms):
            value = comparison.arms[arm].metrics.get(f"class/{comparison.slug(name)}/recall")
            if value is None:
                continue
            y = row + 0.8 * ((i + 0.5) / len(arms) - 0.5)
            colour, mark = styles[arm]
            axes.plot([100 * value.low, 100 * value.high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
            label = in_figure(arm) if row == 0 else None
            axes.plot(100 * value.mean, y, mark, color=colour, ms=6.5, mec="white", mew=0.7, ls="none", label=label)
    axes.set_yticks(range(len(tested)), labels)
    axes.set_ylim(len(tested) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("recall, %")
    figure.legend(loc="outside upper center", ncols=min(len(arms), 6), frameon=False, fontsize=style.SMALL + 0.5)
    return figure


def _table(comparison: Comparison, tested: list[str], labels: list[str]) -> Figure:
    arms = list(comparison.arms)
    values = np.full((len(tested), len(arms)), np.nan)
    for row, name in enumerate(tested):
        for column, arm in enumerate(arms):
            if found := comparison.arms[arm].metrics.get(f"class/{comparison.slug(name)}/recall"):
                values[row, column] = 100 * found.mean
    figure = style.new_figure(3.6 + 0.78 * len(arms), 0.9 + 0.235 * len(tested))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        best = value == np.nanmax(values[row])
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if best else "normal",
            color="white" if value > 55 else style.INK,
        )
    axes.set_xticks(range(len(arms)), [in_figure(a, 14) for a in arms])
    axes.set_yticks(range(len(tested)), labels)
    style.dress(axes, small=True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_xlabel("recall in %, mean over repetitions; highest of each class in bold", fontsize=style.SMALL)
    return figure
