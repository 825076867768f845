"""How well each class is found by each arm, and what changes against the best control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synaug_core.evaluate.recall import judged_arm, recall_changes
from synaug_core.report import style
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.intervals import Interval
    from synaug_core.evaluate.results import Comparison

__all__ = ["recall_figure"]

_FEW = 8
_MOST_DOTS = 48
_CROWD = 9


def recall_figure(comparison: Comparison) -> Figure:
    """Recall of each class in each arm, the rarest class on top, and beside it the change against the best control.

    Dots with intervals where they are few; else a table of colours, and the change of the arm that is judged.
    """
    tested = [c for c in comparison.by_rarity if comparison.test_counts.get(c)]
    labels = [
        f"{in_figure(c)}\n{comparison.train_counts.get(c, 0)} train, {comparison.test_counts[c]} test" for c in tested
    ]
    if len(tested) <= _FEW and len(tested) * len(comparison.arms) <= _MOST_DOTS:
        return _dots(comparison, tested, labels)
    return _table(comparison, tested, [label.replace("\n", "  ·  ") for label in labels])


def _dots(comparison: Comparison, tested: list[str], labels: list[str]) -> Figure:
    arms = list(comparison.arms)
    changed = [a for a in arms if a != comparison.best_control] if comparison.best_control else []
    figure = style.new_figure(10.6 if changed else 8.6, 1.35 + len(tested) * (0.19 * len(arms) + 0.2))
    found = figure.subplots(
        1, 1 + bool(changed), sharey=True, squeeze=False, width_ratios=[1.15, 1][: 1 + bool(changed)]
    )
    recall = found[0][0]
    for axes in found[0]:
        style.dress(axes, grid="x")
        for row in range(1, len(tested), 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#f7f8fa", zorder=0)
    for i, arm in enumerate(arms):
        values = {c: comparison.arms[arm].metrics.get(f"class/{comparison.slug(c)}/recall") for c in tested}
        _rows(recall, comparison, arm, {c: v for c, v in values.items() if v}, tested, (i + 0.5) / len(arms))
        if arm in changed:
            _rows(found[0][1], comparison, arm, recall_changes(comparison, arm), tested, (i + 0.5) / len(arms))
    recall.set_yticks(range(len(tested)), labels)
    recall.set_ylim(len(tested) - 0.5, -0.5)
    recall.set_xlim(-2, 102)
    recall.set_xlabel("recall, %")
    if changed:
        _zero(found[0][1])
        found[0][1].tick_params(axis="y", length=0)
        found[0][1].set_xlabel(f"change against {in_figure(comparison.best_control or '')}, points")
    handles, names = recall.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=min(len(arms), 6), frameon=False, fontsize=style.SMALL + 0.5
    )
    return figure


def _rows(
    axes: Axes,
    comparison: Comparison,
    arm: str,
    values: dict[str, Interval],
    tested: list[str],
    place: float,
) -> None:
    """One arm's dot in each class's band; `place` in [0, 1] is where in the band."""
    colour, mark = style.arm_styles(comparison)[arm]
    for i, (name, value) in enumerate(values.items()):
        y = tested.index(name) + 0.8 * (place - 0.5)
        axes.plot([100 * value.low, 100 * value.high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
        label = None if i else in_figure(arm)
        axes.plot(100 * value.mean, y, mark, color=colour, ms=6.5, mec="white", mew=0.7, ls="none", label=label)


def _zero(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -5), max(high, 5))
    axes.axvline(0, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)


def _table(comparison: Comparison, tested: list[str], labels: list[str]) -> Figure:
    arms, judged = list(comparison.arms), judged_arm(comparison)
    crowded = len(arms) > _CROWD
    values = np.full((len(tested), len(arms)), np.nan)
    for row, name in enumerate(tested):
        for column, arm in enumerate(arms):
            if found := comparison.arms[arm].metrics.get(f"class/{comparison.slug(name)}/recall"):
                values[row, column] = 100 * found.mean
    cells = (0.42 if crowded else 0.66) * len(arms)
    figure = style.new_figure(3.3 + cells + (2.7 if judged else 0), (1.7 if crowded else 1.2) + 0.235 * len(tested))
    panels = figure.subplots(1, 1 + bool(judged), squeeze=False, width_ratios=[cells, 2.6][: 1 + bool(judged)])[0]
    axes = panels[0]
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        best = value == np.nanmax(values[row])
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8.5,
            fontweight="bold" if best else "normal",
            color="white" if value > 55 else style.INK,
        )
    names = [in_figure(a, 20 if crowded else 14) for a in arms]
    longest = max(map(len, names))
    turned = 90 if crowded else 30 if longest > 9 else 0
    axes.set_xticks(range(len(arms)), names)
    axes.set_yticks(range(len(tested)), labels)
    style.dress(axes, small=True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for label in axes.get_xticklabels():
        label.set(
            rotation=turned, ha="left" if turned == 30 else "center", rotation_mode="anchor" if turned == 30 else None
        )
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("recall in %, mean; highest of each class in bold", fontsize=style.SMALL)
    if judged:
        _judged_panel(panels[1], comparison, judged, tested)
    return figure


def _judged_panel(axes: Axes, comparison: Comparison, judged: str, tested: list[str]) -> None:
    style.dress(axes, grid="x", small=True)
    for row in range(0, len(tested), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f7f8fa", zorder=0)
    _rows(axes, comparison, judged, recall_changes(comparison, judged), tested, 0.5)
    _zero(axes)
    axes.set_ylim(len(tested) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        f"{in_figure(judged, 18)} against\n{in_figure(comparison.best_control or '', 18)}, points", fontsize=style.SMALL
    )
