"""The course of classifier trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synaug_core.report import style
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synaug_core.classify.history import History

__all__ = ["history_figure"]

_PANELS = (
    ("train_loss", "training loss, nats", 1.0),
    ("val_loss", "validation loss, nats", 1.0),
    ("val_balanced_accuracy", "validation balanced accuracy, %", 100.0),
)


def history_figure(histories: Mapping[str, History]) -> Figure:
    """Loss and validation score by step, a line for each training; a dot marks the weights that were kept."""
    colours = style.line_colours(list(histories))
    figure = style.new_figure(11.5, 3.7 + 0.2 * ((len(histories) - 1) // 8))
    for axes, (field, name, scale) in zip(figure.subplots(1, 3), _PANELS, strict=True):
        style.dress(axes, grid="y", small=True)
        for label, history in histories.items():
            points = [(e.step, scale * v) for e in history.evaluations if (v := getattr(e, field)) is not None]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            first = in_figure(label) if field == "train_loss" else None
            axes.plot(steps, values, color=colours[label], lw=1.5, label=first)
            kept = [v for s, v in points if s == history.best_step]
            axes.plot([history.best_step] * len(kept), kept, "o", color=colours[label], ms=5.5, mec="white", mew=0.8)
        if not axes.lines:
            axes.text(0.5, 0.5, "no validation images", transform=axes.transAxes, ha="center", color=style.GREY)
            axes.set_yticks([])
        axes.set_xlim(left=0)
        axes.set_xlabel("step")
        style.title(axes, name)
    if len(histories) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(histories), 8), frameon=False, fontsize=style.SMALL)
    return figure
