"""How classifiers and generators were trained: losses and scores by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.classify.trained import History
    from synaug_core.generators.fit_report import FitReport

__all__ = ["fit_figure", "history_figure"]

_HISTORY_PANELS = (
    ("train_loss", "training loss, nats", 1.0),
    ("val_loss", "validation loss, nats", 1.0),
    ("val_balanced_accuracy", "validation balanced accuracy, %", 100.0),
)


def history_figure(histories: Mapping[str, History]) -> Figure:
    """Loss and validation score by step, a line for each training; a dot marks the weights that were kept."""
    colours = style.line_colours(list(histories))
    figure = style.new_figure(11.5, 3.7 + 0.2 * ((len(histories) - 1) // 8))
    for axes, (field, name, scale) in zip(figure.subplots(1, 3), _HISTORY_PANELS, strict=True):
        style.dress(axes, grid="y", small=True)
        for label, history in histories.items():
            points = [(e.step, scale * v) for e in history.evaluations if (v := getattr(e, field)) is not None]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            first = words.in_figure(label) if field == "train_loss" else None
            axes.plot(steps, values, color=colours[label], lw=1.5, label=first)
            best_values = [v for s, v in points if s == history.best_step]
            axes.plot(
                [history.best_step] * len(best_values),
                best_values,
                "o",
                color=colours[label],
                ms=5.5,
                mec="white",
                mew=0.8,
            )
        if not axes.lines:
            axes.text(0.5, 0.5, "no validation images", transform=axes.transAxes, ha="center", color=style.GREY)
            axes.set_yticks([])
        axes.set_xlim(left=0)
        axes.set_xlabel("step")
        style.title(axes, name)
    if len(histories) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(histories), 8), frameon=False, fontsize=style.SMALL)
    return figure


_FIT_PANELS = (
    ("loss", "training loss"),
    ("held_out_loss", "held-out loss"),
    ("kl", "KL term"),
)
_COLUMNS = 3
"""Most panels of other kinds' losses in a row."""


def fit_figure(reports: Mapping[str, FitReport]) -> Figure:
    """Losses by step of every class of a group, and how much of the latent space each uses.

    The bars on the right name the lines' colours. A dot marks the step whose weights were kept. Kinds whose
    reports hold `losses` get a panel for each of those, and bars of their first measure.
    """
    classes = list(reports)
    colours = style.line_colours(classes)
    if any(r.losses for r in reports.values()) and not any(r.curves for r in reports.values()):
        return _fit_of_losses(reports, colours)
    figure = style.new_figure(12.5, max(3.6, 1.2 + 0.23 * len(classes)))
    grid = figure.subplots(1, 4, width_ratios=[1, 1, 1, 0.9])
    for axes, (curve, name) in zip(grid, _FIT_PANELS, strict=False):
        _curves(axes, reports, curve, colours)
        style.title(axes, name)
        axes.set_xlabel("step")
    grid[0].set_ylabel("nats per image")
    _active(grid[3], reports, colours)
    return figure


def _fit_of_losses(reports: Mapping[str, FitReport], colours: Mapping[str, str]) -> Figure:
    names = list(dict.fromkeys(name for r in reports.values() for name in r.losses))
    rows = -(-len(names) // _COLUMNS)
    columns = -(-len(names) // rows)
    figure = style.new_figure(3.1 * (columns + 1.1), max(3.2 * rows, 1.2 + 0.23 * len(reports)))
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=[1.0] * columns + [1.1])
    for i, name in enumerate(names):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        style.dress(axes, grid="y", small=True)
        style.title(axes, name.replace("_", " "))
        curves = {c: r.losses[name] for c, r in reports.items() if r.losses.get(name)}
        is_shared = len(curves) > 1 and len(set(curves.values())) == 1  # one model for all classes: one line
        for class_name, points in list(curves.items())[: 1 if is_shared else None]:
            colour = style.INK if is_shared else colours[class_name]
            axes.plot(*zip(*points, strict=True), color=colour, lw=1.6, marker="o" if len(points) == 1 else "")
        axes.set_xlim(left=0)
        if i + columns >= len(names):
            axes.set_xlabel("step")
    _measured(figure.add_subplot(grid[:, -1]), reports, colours)
    return figure


def _measured(axes: Axes, reports: Mapping[str, FitReport], colours: Mapping[str, str]) -> None:
    style.dress(axes, small=True)
    name = next((m for r in reports.values() for m in r.measures), "")
    values = [r.measures.get(name, 0.0) if name else float(r.images) for r in reports.values()]
    thickness = min(0.72, 0.1 * len(reports))  # few classes in a tall figure need no blocks
    axes.barh(range(len(reports)), values, color=[colours[c] for c in reports], height=thickness)
    reach = max(values, default=0.0) or 1.0
    for row, (report, value) in enumerate(zip(reports.values(), values, strict=True)):
        note = "diverged" if report.status == "diverged" else "see the notes" if report.notes else ""
        text = ("" if name and name not in report.measures else f"{value:.3g}") + (f"  {note}" if note else "")
        axes.text(
            value + 0.02 * reach,
            row,
            text,
            va="center",
            fontsize=7.5,
            color="#b91c1c" if note else style.INK,
            fontweight="bold" if note else "normal",
        )
    _name_rows(axes, reports)
    axes.set_xlim(0, reach * 1.35)
    axes.set_xticks([])
    axes.set_xlabel("class's images in brackets")
    style.title(axes, name.replace("_", " ") or "images")


def _curves(axes: Axes, reports: Mapping[str, FitReport], curve: str, colours: Mapping[str, str]) -> None:
    style.dress(axes, grid="y", small=True)
    late: list[float] = []
    for name, report in reports.items():
        series = {n: (steps, values) for n, steps, values in report.series()}
        if curve not in series:
            continue
        steps, values = series[curve]
        axes.plot(steps, values, color=colours[name], lw=1.6 if len(reports) <= 8 else 0.9)
        if curve == "held_out_loss" and report.best_step in steps:
            best_value = values[steps.index(report.best_step)]
            axes.plot(report.best_step, best_value, "o", color=colours[name], ms=5, mec="white", mew=0.7)
            late.append(best_value)
        late.extend(values[len(values) // 10 if curve != "kl" and len(values) > 3 else 0 :])
    late = [v for v in late if np.isfinite(v)]
    if not late:
        axes.text(0.5, 0.5, "none held out", transform=axes.transAxes, ha="center", color=style.GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    # the first steps' losses dwarf all that follows
    low, high = min(late), max(late)
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(left=0)


def _active(axes: Axes, reports: Mapping[str, FitReport], colours: Mapping[str, str]) -> None:
    style.dress(axes, small=True)
    latent_dim = max((r.latent_dim for r in reports.values()), default=0) or 1
    rows = range(len(reports))
    axes.barh(rows, [latent_dim] * len(reports), color="#f3f4f6", height=0.72)
    axes.barh(rows, [r.active_units for r in reports.values()], color=[colours[c] for c in reports], height=0.72)
    for row, report in zip(rows, reports.values(), strict=True):
        note = "diverged" if report.status == "diverged" else "collapsed" if report.collapsed else ""
        axes.text(
            report.active_units + 0.015 * latent_dim,
            row,
            f"{report.active_units} {note}",
            va="center",
            fontsize=7.5,
            color="#b91c1c" if note else style.INK,
            fontweight="bold" if note else "normal",
        )
    _name_rows(axes, reports)
    axes.set_xlim(0, latent_dim * 1.12)
    axes.set_xlabel(f"of {latent_dim}; class's images in brackets")
    style.title(axes, "active latent units")


def _name_rows(axes: Axes, reports: Mapping[str, FitReport]) -> None:
    names = [f"{words.in_figure(c, 20)} ({r.images + r.held_out})" for c, r in reports.items()]
    axes.set_yticks(range(len(reports)), names)
    axes.tick_params(axis="y", length=0, labelsize=7.5 if len(reports) > 8 else 9)
    axes.set_ylim(len(reports) - 0.5, -0.5)
    axes.spines[["left", "bottom"]].set_visible(False)
