"""What was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synaug_core.report import style
from synaug_core.report.sections.basis import trainings_name
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.evaluate.results import Comparison

__all__ = ["arm_confusion", "confusion_figure"]

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
    total = counts.sum(1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    n = len(classes)
    roomy = n <= _ROOMY
    cell = 0.85 if n <= 6 else 0.62 if roomy else 0.27
    names = [in_figure(c, 18) for c in classes]
    # room for the names, which constrained layout takes from the cells
    margin = 1.0 + 0.085 * max(len(name) for name in names)
    side = max(n * cell, 2.4)
    figure = style.new_figure(side + margin + 0.9, side + margin * 0.9 + 0.5)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(n), names, rotation=90 if n > 6 else 35, ha="center" if n > 6 else "right")
    axes.set_yticks(range(n), [f"{name} ({t})" for name, t in zip(names, total[:, 0], strict=True)])
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
        axes.set_title(in_figure(heading, 60), fontsize=11, loc="left", color=style.INK, fontweight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25, pad=0.02, format=lambda v, _: f"{100 * v:.0f} %")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=0, colors=style.GREY)
    return figure


def _most_confused(counts: NDArray[np.int64], classes: Sequence[str]) -> tuple[NDArray[np.int64], Sequence[str]]:
    """At most 40 classes in their order, and all others as the last one."""
    if len(classes) <= _MOST:
        return counts, classes
    wrong = counts - np.diag(np.diag(counts))
    shown = np.sort(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[: _MOST - 1])
    place = np.full(len(classes), len(shown))
    place[shown] = np.arange(len(shown))
    gathered = np.zeros((len(shown) + 1,) * 2, dtype=counts.dtype)
    np.add.at(gathered, (place[:, None], place[None, :]), counts)
    return gathered, [*(classes[i] for i in shown), f"{len(classes) - len(shown)} others"]


def arm_confusion(comparison: Comparison, arm: str) -> Figure:
    """An arm's matrix, summed over its trainings, classes from the rarest to the commonest."""
    order = [comparison.classes.index(c) for c in comparison.by_rarity]
    matrix = np.asarray(comparison.arms[arm].confusion)[np.ix_(order, order)]
    n = comparison.arms[arm].repetitions
    heading = f"{arm}: {n} {trainings_name(comparison)} summed" if n > 1 else arm
    return confusion_figure(matrix.tolist(), comparison.by_rarity, heading)
