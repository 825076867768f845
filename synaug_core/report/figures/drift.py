"""Recent images beside the known ones: how far apart, and classed how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synaug_core.evaluate.sentence import p_text
from synaug_core.report import style, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.drift.finding import Finding

__all__ = ["classes_figure", "distance_figure"]

_BINS = 25
_MOST = 30
_COLOUR = "#D55E00"


def distance_figure(finding: Finding) -> Figure:
    """Histogram of the distances of random relabellings, with the observed one.

    Raises:
        ValueError: nothing was compared.
    """
    if finding.mmd is None or finding.mmd_p is None:
        raise ValueError("too few images were compared for a figure")
    figure = style.new_figure(7.2, 3.6)
    axes = figure.subplots()
    style.dress(axes, grid="y")
    null_values = np.asarray(finding.null)
    axes.hist(null_values, bins=_BINS, color="#56B4E9", histtype="stepfilled")
    height = axes.get_ylim()[1]
    axes.axvline(finding.mmd, color=_COLOUR, lw=2)
    far = finding.mmd > float(np.quantile(null_values, 0.5))
    axes.annotate(
        f"observed ({p_text(finding.mmd_p)})",
        (finding.mmd, height * 0.97),
        xytext=(-6 if far else 6, 0),
        textcoords="offset points",
        ha="right" if far else "left",
        va="top",
        color=_COLOUR,
        fontsize=style.SMALL + 1,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    axes.set_ylim(0, height)
    axes.set_xlabel("squared kernel distance (MMD²) of recent and known images")
    axes.set_ylabel("random relabellings")
    style.title(axes, f"{finding.recent} recent images against {finding.reference} known ones")
    return figure


def classes_figure(finding: Finding) -> Figure:
    """Share of each predicted class, known and recent images; the 30 classes that changed most.

    Raises:
        ValueError: nothing was compared.
    """
    if finding.classes_p is None:
        raise ValueError("too few images were compared for a figure")
    shares = finding.shares
    most_changed = sorted(shares, key=lambda name: -abs(shares[name][1] - shares[name][0]))[:_MOST]
    names = [name for name in shares if name in most_changed]
    figure = style.new_figure(7.2, 1.5 + 0.34 * len(names))
    axes = figure.subplots()
    style.dress(axes, grid="x")
    for row, name in enumerate(names):
        known_share, recent_share = (100 * share for share in shares[name])
        axes.plot([known_share, recent_share], [row, row], color=style.LIGHT, lw=3, zorder=1, solid_capstyle="round")
    rows = range(len(names))
    axes.plot([100 * shares[n][0] for n in names], rows, "o", color=style.GREY, ms=7, label="known images")
    axes.plot([100 * shares[n][1] for n in names], rows, "D", color=_COLOUR, ms=6.5, label="recent images")
    axes.set_yticks(rows, [words.in_figure(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlim(left=-1)
    axes.set_xlabel("predicted as this class, %")
    axes.tick_params(axis="y", length=0)
    style.title(axes, f"Mix of predicted classes ({p_text(finding.classes_p)})")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=style.SMALL + 0.5)
    return figure
