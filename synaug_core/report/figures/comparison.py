"""The arms of a comparison: metrics with their intervals, recall by class, confusion matrices."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.results import judged_arm, recall_changes
from synaug_core.evaluate.sentence import points
from synaug_core.metrics import METRICS
from synaug_core.report import sections, style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate import intervals, results

__all__ = ["arm_confusion_png", "confusion_figure", "forest_figure", "recall_figure", "waterfall_figure"]


def forest_figure(comparison: results.Comparison, metrics: Sequence[str] | None = None) -> Figure:
    """Every arm's mean and interval; the last panel has the differences from each arm's hardest control.

    Args:
        comparison: what to show.
        metrics: names as in `scores`; default: those that the catalogue shows here.
    """
    headings = sections.columns(comparison, "forest", lambda name: words.in_figure(name, 14))
    metric_names = [m for m in metrics or headings if any(m in result.metrics for result in comparison.arms.values())]
    panels = len(metric_names) + bool(comparison.family)
    arms = list(comparison.arms)
    figure = style.new_figure(1.4 + 2.45 * panels, 1.15 + 0.46 * len(arms))
    axes_row = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for axes, metric in zip(axes_row, metric_names, strict=False):
        _metric_panel(axes, comparison, metric)
        _title(axes, f"{headings.get(metric) or words.metric_name(metric)}, %")
    if comparison.family:
        _difference_panel(axes_row[-1], comparison)
    axes_row[0].set_yticks(range(len(arms)), [words.in_figure(a, 20) for a in arms])
    axes_row[0].set_ylim(len(arms) - 0.4, -0.85)
    for axes in axes_row[1:]:
        axes.tick_params(axis="y", length=0)
    return figure


def _metric_panel(axes: Axes, comparison: results.Comparison, metric: str) -> None:
    styles = style.arm_styles(comparison)
    style.dress(axes, grid="x")
    control = comparison.best_control
    if control and metric in comparison.arms[control].metrics:
        axes.axvline(100 * comparison.arms[control].metrics[metric].mean, color=style.GREY, lw=1, ls=(0, (4, 3)))
    for row, (arm, result) in enumerate(comparison.arms.items()):
        if (value := result.metrics.get(metric)) is None:
            continue
        _interval(axes, value, row, styles[arm])
        _value(axes, words.percent(value.mean), 100 * value.mean, row)


def _interval(
    axes: Axes,
    value: intervals.Interval,
    y: float,
    arm_style: tuple[str, str],
    *,
    scale: float = 1.0,
    label: str | None = None,
) -> None:
    """A mean's mark on its interval, in percent; `arm_style` is colour and mark, `label` that of the legend."""
    colour, mark = arm_style
    axes.plot([100 * value.low, 100 * value.high], [y, y], color=colour, lw=2.2 * scale, solid_capstyle="butt")
    axes.plot(
        100 * value.mean, y, mark, color=colour, ms=7.5 * scale, mec="white", mew=0.8 * scale, ls="none", label=label
    )


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


def _difference_panel(axes: Axes, comparison: results.Comparison) -> None:
    styles = style.arm_styles(comparison)
    style.dress(axes, grid="x")
    axes.axvline(0, color=style.GREY, lw=1, ls=(0, (4, 3)))
    rows = {arm: row for row, arm in enumerate(comparison.arms)}
    for c in (*comparison.family, *comparison.positive_control):
        d, row = c.difference, rows[c.arm]
        _interval(axes, d, row, styles[c.arm])
        _value(axes, points(d.mean), 100 * d.mean, row)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -1), max(high, 1))
    _title(axes, "difference from hardest control")
    axes.set_xlabel(f"points of {words.metric_name(comparison.family[0].metric)}", fontsize=style.SMALL)


def waterfall_figure(comparison: results.Comparison) -> Figure:
    """What each step from the original images to the judged arm added or took: a floating column from the mean of the
    arm before to that of the arm, with the interval of their paired difference.

    Args:
        comparison: with a waterfall.
    """
    steps, styles = comparison.waterfall, style.arm_styles(comparison)
    arms = [steps[0].against, *(step.arm for step in steps)]
    figure = style.new_figure(1.6 + 1.75 * len(arms), 3.9)
    axes = figure.add_subplot()
    style.dress(axes, grid="y")
    heights = [100 * comparison.arms[arms[0]].metrics[comparison.key_of(METRICS[steps[0].metric])].mean]
    for step in steps:
        heights.append(heights[-1] + 100 * step.difference.mean)
    bounds = [heights[i] + 100 * b for i, s in enumerate(steps) for b in (s.difference.low, s.difference.high)]
    low, high = min(*heights, *bounds), max(*heights, *bounds)
    room = max(high - low, 2.0)
    floor = max(low - 0.25 * room, 0.0)
    axes.bar(0, heights[0] - floor, bottom=floor, width=0.6, color=style.LIGHT, ec="#9ca3af", lw=0.8)
    _above(axes, words.percent(heights[0] / 100), 0, heights[0])
    for i, step in enumerate(steps):
        before, after, d = heights[i], heights[i + 1], step.difference
        axes.plot([i - 0.3, i + 1.3], [before, before], color=style.GREY, lw=0.9, ls=(0, (3, 3)), zorder=1)
        colour = styles[step.arm][0]
        axes.bar(i + 1, after - before, bottom=before, width=0.6, color=colour, alpha=0.45, ec=colour, lw=0.8)
        ends = [before + 100 * d.low, before + 100 * d.high]
        axes.plot([i + 1, i + 1], ends, color=style.INK, lw=1.6, solid_capstyle="butt")
        axes.plot(i + 1, after, "o", color=style.INK, ms=4.5)
        _above(axes, f"{points(d.mean)}\n[{points(d.low)}, {points(d.high)}]", i + 1, max(before, *ends))
    axes.set_xticks(range(len(arms)), [words.in_figure(arm, 16) for arm in arms])
    axes.set_xlim(-0.6, len(arms) - 0.4)
    axes.set_ylim(floor, high + 0.25 * room)
    axes.set_ylabel(f"{words.metric_name(steps[0].metric)}, %")
    return figure


def _above(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=style.SMALL,
        color=style.INK,
        linespacing=1.25,
    )


_FEW = 8
_MOST_DOTS = 48
_CROWD = 9


def recall_figure(comparison: results.Comparison) -> Figure:
    """Recall of each class in each arm, the rarest class on top, and beside it the change against the best control.

    Dots with intervals where they are few; else a table of colours, and the change of the arm that is judged.
    """
    class_names = [c for c in comparison.by_rarity if comparison.test_counts.get(c)]
    labels = [
        f"{words.in_figure(c)}\n{comparison.train_counts.get(c, 0)} train, {comparison.test_counts[c]} test"
        for c in class_names
    ]
    if len(class_names) <= _FEW and len(class_names) * len(comparison.arms) <= _MOST_DOTS:
        return _dots(comparison, class_names, labels)
    return _table(comparison, class_names, [label.replace("\n", "  ·  ") for label in labels])


def _dots(comparison: results.Comparison, class_names: list[str], labels: list[str]) -> Figure:
    arms = list(comparison.arms)
    compared_arms = [a for a in arms if a != comparison.best_control] if comparison.best_control else []
    figure = style.new_figure(10.6 if compared_arms else 8.6, 1.35 + len(class_names) * (0.19 * len(arms) + 0.2))
    grid = figure.subplots(
        1, 1 + bool(compared_arms), sharey=True, squeeze=False, width_ratios=[1.15, 1][: 1 + bool(compared_arms)]
    )
    recall = grid[0][0]
    for axes in grid[0]:
        style.dress(axes, grid="x")
        for row in range(1, len(class_names), 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#f7f8fa", zorder=0)
    for i, arm in enumerate(arms):
        values = {c: comparison.arms[arm].metrics.get(f"class/{comparison.slug(c)}/recall") for c in class_names}
        _rows(recall, comparison, arm, {c: v for c, v in values.items() if v}, class_names, (i + 0.5) / len(arms))
        if arm in compared_arms:
            _rows(grid[0][1], comparison, arm, recall_changes(comparison, arm), class_names, (i + 0.5) / len(arms))
    recall.set_yticks(range(len(class_names)), labels)
    recall.set_ylim(len(class_names) - 0.5, -0.5)
    recall.set_xlim(-2, 102)
    recall.set_xlabel("recall, %")
    if compared_arms:
        _zero(grid[0][1])
        grid[0][1].tick_params(axis="y", length=0)
        grid[0][1].set_xlabel(f"change against {words.in_figure(comparison.best_control or '')}, points")
    handles, names = recall.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=min(len(arms), 6), frameon=False, fontsize=style.SMALL + 0.5
    )
    return figure


def _rows(
    axes: Axes,
    comparison: results.Comparison,
    arm: str,
    values: dict[str, intervals.Interval],
    class_names: list[str],
    place: float,
) -> None:
    """One arm's dot in each class's band; `place` in [0, 1] is where in the band."""
    arm_style = style.arm_styles(comparison)[arm]
    for i, (name, value) in enumerate(values.items()):
        y = class_names.index(name) + 0.8 * (place - 0.5)
        _interval(axes, value, y, arm_style, scale=0.85, label=None if i else words.in_figure(arm))


def _zero(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -5), max(high, 5))
    axes.axvline(0, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)


def _table(comparison: results.Comparison, class_names: list[str], labels: list[str]) -> Figure:
    arms, judged_name = list(comparison.arms), judged_arm(comparison)
    crowded = len(arms) > _CROWD
    values = np.full((len(class_names), len(arms)), np.nan)
    for row, name in enumerate(class_names):
        for column, arm in enumerate(arms):
            if recall := comparison.arms[arm].metrics.get(f"class/{comparison.slug(name)}/recall"):
                values[row, column] = 100 * recall.mean
    cells = (0.42 if crowded else 0.66) * len(arms)
    figure = style.new_figure(
        3.3 + cells + (2.7 if judged_name else 0), (1.7 if crowded else 1.2) + 0.235 * len(class_names)
    )
    panels = figure.subplots(
        1, 1 + bool(judged_name), squeeze=False, width_ratios=[cells, 2.6][: 1 + bool(judged_name)]
    )[0]
    axes = panels[0]
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        is_best = value == np.nanmax(values[row])
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8.5,
            fontweight="bold" if is_best else "normal",
            color="white" if value > 55 else style.INK,
        )
    names = [words.in_figure(a, 20 if crowded else 14) for a in arms]
    longest = max(map(len, names))
    turned = 90 if crowded else 30 if longest > 9 else 0
    axes.set_xticks(range(len(arms)), names)
    axes.set_yticks(range(len(class_names)), labels)
    style.dress(axes, small=True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for label in axes.get_xticklabels():
        label.set(
            rotation=turned, ha="left" if turned == 30 else "center", rotation_mode="anchor" if turned == 30 else None
        )
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("recall in %, mean; highest of each class in bold", fontsize=style.SMALL)
    if judged_name:
        _judged_panel(panels[1], comparison, judged_name, class_names)
    return figure


def _judged_panel(axes: Axes, comparison: results.Comparison, arm: str, class_names: list[str]) -> None:
    style.dress(axes, grid="x", small=True)
    for row in range(0, len(class_names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f7f8fa", zorder=0)
    _rows(axes, comparison, arm, recall_changes(comparison, arm), class_names, 0.5)
    _zero(axes)
    axes.set_ylim(len(class_names) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        f"{words.in_figure(arm, 18)} against\n{words.in_figure(comparison.best_control or '', 18)}, points",
        fontsize=style.SMALL,
    )


_ROOMY = 12
_MOST = 40
"""Classes in a figure; of more, the others are one row and one column."""


def confusion_figure(matrix: Sequence[Sequence[int]], classes: Sequence[str], heading: str = "") -> Figure:
    """Confusion matrix: colour is the share of the row (true class), the number the count.

    Args:
        matrix: (C, C) counts, rows are true classes.
        classes: C names; of more than 40, those that are confused most often are shown, the others together.
        heading: above the figure.
    """
    counts, classes = _most_confused(np.asarray(matrix), classes)
    row_sums = counts.sum(1, keepdims=True)
    shares = np.divide(counts, row_sums, out=np.zeros(counts.shape), where=row_sums > 0)
    n = len(classes)
    roomy = n <= _ROOMY
    cell = 0.85 if n <= 6 else 0.62 if roomy else 0.27
    names = [words.in_figure(c, 18) for c in classes]
    # room for the names, which constrained layout takes from the cells
    margin = 1.0 + 0.085 * max(len(name) for name in names)
    side = max(n * cell, 2.4)
    figure = style.new_figure(side + margin + 0.9, side + margin * 0.9 + 0.5)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(n), names, rotation=90 if n > 6 else 35, ha="center" if n > 6 else "right")
    axes.set_yticks(range(n), [f"{name} ({t})" for name, t in zip(names, row_sums[:, 0], strict=True)])
    style.dress(axes, small=n > 6)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7 if not roomy else None)
    if not roomy:
        axes.set_xticks(np.arange(n) - 0.5, minor=True)
        axes.set_yticks(np.arange(n) - 0.5, minor=True)
        axes.grid(which="minor", color="#f3f4f6", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
    for i, j in np.argwhere(counts > 0):
        text = f"{100 * shares[i, j]:.0f} %\n{counts[i, j]}" if roomy else f"{counts[i, j]}"
        colour = "white" if shares[i, j] > 0.55 else style.INK
        size = 9.5 if n <= 6 else 7.5 if roomy else 5.5
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour, linespacing=1.2)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class (predictions)")
    if heading:
        axes.set_title(words.in_figure(heading, 60), fontsize=11, loc="left", color=style.INK, fontweight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25, pad=0.02, format=lambda v, _: f"{100 * v:.0f} %")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=0, colors=style.GREY)
    return figure


def _most_confused(counts: NDArray[np.int64], classes: Sequence[str]) -> tuple[NDArray[np.int64], Sequence[str]]:
    """At most 40 classes in their order, and all others as the last one."""
    if len(classes) <= _MOST:
        return counts, classes
    errors = counts - np.diag(np.diag(counts))
    positions = np.sort(np.argsort(-(errors.sum(0) + errors.sum(1)), kind="stable")[: _MOST - 1])
    place = np.full(len(classes), len(positions))
    place[positions] = np.arange(len(positions))
    gathered = np.zeros((len(positions) + 1,) * 2, dtype=counts.dtype)
    np.add.at(gathered, (place[:, None], place[None, :]), counts)
    return gathered, [*(classes[i] for i in positions), f"{len(classes) - len(positions)} others"]


_DRAWING = threading.Lock()
"""Two steps may want a figure at the same time: the second one waits for it."""


def arm_confusion_png(comparison: results.Comparison, arm: str) -> bytes:
    """An arm's matrix, summed over its trainings, classes from the rarest to the commonest, as a PNG.

    The arm's run and the page show the same one: within a process it is drawn once.
    """
    order = [comparison.classes.index(c) for c in comparison.by_rarity]
    confusion = comparison.arms[arm].confusion
    matrix = tuple(tuple(confusion[i][j] for j in order) for i in order)
    n = comparison.arms[arm].repetitions
    heading = f"Confusion matrix of {words.plain(arm, 24)}"
    if n > 1:
        heading += f", {n} {sections.trainings_name(comparison)} summed"
    with _DRAWING:
        return _confusion_png(matrix, comparison.by_rarity, heading)


@functools.lru_cache(maxsize=64)
def _confusion_png(matrix: tuple[tuple[int, ...], ...], classes: tuple[str, ...], heading: str) -> bytes:
    return style.png(confusion_figure(matrix, classes, heading))
