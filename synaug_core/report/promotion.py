"""The page of a promotion decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.metrics import METRICS
from synaug_core.report import html, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.evaluate.promotion import Decision, Figures

__all__ = ["difference_figure", "promotion_page"]


def promotion_page(decision: Decision, *, name: str = "", version: str = "") -> str:
    """One self-contained HTML page: the decision, its reason, and both models' figures.

    Args:
        decision: of the gate.
        name: the registered model.
        version: of the challenger.
    """
    f = decision.figures
    return html.render(
        "promotion.html",
        d=decision,
        name=words.plain(name, 60) if name else "",
        version=words.plain(version) if version else "",
        rarest=", ".join(words.plain(c) for c in f.rarest_classes) if f else "",
        figure=html.embed_pictures({"": difference_figure(f, decision.tolerance)}) if f else [],
    )


def difference_figure(figures: Figures, tolerance: float) -> Figure:
    """The two differences with their intervals, and where each has to lie."""
    from synaug_core.report import style

    figure = style.new_figure(8.6, 2.1)
    axes = figure.add_subplot()
    style.dress(axes, grid="x")
    rows = (
        (METRICS["balanced_accuracy"].title, figures.balanced_accuracy),
        ("recall of the rarest classes", figures.rarest_recall),
    )
    for row, (_, value) in enumerate(rows):
        axes.plot([100 * value.low, 100 * value.high], [row, row], color=style.ACCENT, lw=2.4, solid_capstyle="butt")
        axes.plot(100 * value.mean, row, "o", color=style.ACCENT, ms=8, mec="white", mew=0.8)
    red = "#b91c1c"
    axes.plot([-100 * tolerance] * 2, [-0.4, 0.4], color=red, lw=1.5)
    axes.plot([0, 0], [0.6, 1.4], color=red, lw=1.5)
    axes.set_yticks(range(2), [name for name, _ in rows])
    axes.set_ylim(1.6, -0.6)
    axes.set_xlabel(
        "challenger minus champion, points; above, the dot has to lie right of the red mark; below, the whole line"
    )
    return figure
