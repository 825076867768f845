"""Does a classifier know how sure it may be?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style
from synaug_core.report.words import in_figure, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.evaluate.comparison import Comparison

__all__ = ["reliability_figure"]


def reliability_figure(comparison: Comparison) -> Figure:
    """Share correct against confidence, a panel for each arm; grey bars are the share of predictions in a bin."""
    arms = list(comparison.arms)
    columns = min(len(arms), 3)
    rows = -(-len(arms) // columns)
    figure = style.new_figure(3.1 * columns + 0.4, 2.9 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = style.arm_styles(comparison)
    for axes, arm in zip(grid.flat, arms, strict=False):
        result = comparison.arms[arm]
        images = np.array(result.calibration.images)
        used = images >= max(1, 0.01 * images.sum())  # a bin of two or three predictions says nothing
        style.dress(axes, small=True)
        edges = np.linspace(0, 100, len(images) + 1)
        share = 100 * images / images.sum()
        axes.bar(edges[:-1], share, width=edges[1], align="edge", color=style.LIGHT)
        axes.plot([0, 100], [0, 100], color=style.GREY, lw=1, ls=(0, (4, 3)))
        confidence = 100 * np.array(result.calibration.confidence)[used] / images[used]
        correct = 100 * np.array(result.calibration.correct)[used] / images[used]
        colour, _ = styles[arm]
        axes.plot(confidence, correct, color=colour, lw=1.2, alpha=0.7)
        axes.scatter(confidence, correct, s=14 + 110 * images[used] / images.sum(), color=colour, ec="white", lw=0.6)
        ece = result.metrics.get("ece")
        style.title(axes, in_figure(arm, 18))
        if ece:
            text = f"calibration error {percent(ece.mean)} %"
            axes.text(2, 98, text, fontsize=style.SMALL, va="top", color=style.INK)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
    for axes in list(grid.flat)[len(arms) :]:
        axes.set_visible(False)
    figure.supxlabel("confidence in the predicted class, %", fontsize=10, color=style.INK)
    figure.supylabel("share correct, %", fontsize=10, color=style.INK)
    return figure
