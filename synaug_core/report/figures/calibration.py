"""Does a classifier know how sure it may be?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style
from synaug_core.report.words import in_figure, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.reliability import ConfidenceBins, Reliability
    from synaug_core.evaluate.results import Comparison

__all__ = ["reliability_figure"]

_COLUMNS = 4
_SCALED = "#374151"


def reliability_figure(comparison: Comparison, scaled: Mapping[str, Reliability] | None = None) -> Figure:
    """Share correct against confidence, a panel for each arm; grey bars are the share of predictions in a bin.

    Args:
        comparison: what to show.
        scaled: arm -> what temperature scaling made of it; its points are hollow.
    """
    arms = list(comparison.arms)
    rows = -(-len(arms) // _COLUMNS)
    columns = -(-len(arms) // rows)
    figure = style.new_figure(3.1 * columns + 0.4, 2.9 * rows + 0.3 + (0.25 if scaled else 0))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = style.arm_styles(comparison)
    for axes, arm in zip(grid.flat, arms, strict=False):
        result = comparison.arms[arm]
        of_arm = (scaled or {}).get(arm)
        _ground(axes, result.calibration)
        style.title(axes, in_figure(arm, 18))
        colour, _ = styles[arm]
        _points(axes, result.calibration, colour, hollow=False)
        if of_arm is not None:
            _points(axes, of_arm.after.bins, _SCALED, hollow=True)
        if ece := result.metrics.get("ece"):
            text = f"calibration error {percent(ece.mean)} %"
            if of_arm is not None:
                text += f"\nscaled, T = {of_arm.temperature:.2f}: {percent(of_arm.after.ece)} %"
            axes.text(2, 99, text, fontsize=style.SMALL, va="top", color=style.INK, linespacing=1.35)
    for axes in list(grid.flat)[len(arms) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(len(arms) - columns, 0) : len(arms)]:
        axes.tick_params(labelbottom=True)  # the lowest of its column, also where the last row is not full
    figure.supxlabel("confidence in the predicted class, %", fontsize=10, color=style.INK)
    figure.supylabel("share correct, %", fontsize=10, color=style.INK)
    if scaled:
        _legend(figure)
    return figure


def _ground(axes: Axes, bins: ConfidenceBins) -> None:
    images = np.array(bins.images)
    style.dress(axes, small=True)
    edges = np.linspace(0, 100, len(images) + 1)
    axes.bar(edges[:-1], 100 * images / images.sum(), width=edges[1], align="edge", color=style.LIGHT)
    axes.plot([0, 100], [0, 100], color=style.GREY, lw=1, ls=(0, (4, 3)))
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)


def _points(axes: Axes, bins: ConfidenceBins, colour: str, *, hollow: bool) -> None:
    images = np.array(bins.images)
    used = images >= max(1, 0.02 * images.sum())  # a bin of two or three predictions says nothing
    confidence = 100 * np.array(bins.confidence)[used] / images[used]
    correct = 100 * np.array(bins.correct)[used] / images[used]
    size = 14 + 110 * images[used] / images.sum()
    if hollow:
        axes.plot(confidence, correct, color=colour, lw=1, ls=(0, (2, 2)), zorder=3)
        axes.scatter(confidence, correct, s=size, facecolor="white", ec=colour, lw=1.1, zorder=3, clip_on=False)
    else:
        axes.plot(confidence, correct, color=colour, lw=1.2, alpha=0.7)
        axes.scatter(confidence, correct, s=size, color=colour, ec="white", lw=0.6, clip_on=False)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", ls="-", lw=1.2, ms=6, color=style.ACCENT, mec="white", label="as trained"),
        Line2D(
            [],
            [],
            marker="o",
            ls=(0, (2, 2)),
            lw=1,
            ms=6,
            color=_SCALED,
            mfc="white",
            label="after temperature scaling on the validation images",
        ),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False, fontsize=style.SMALL)
