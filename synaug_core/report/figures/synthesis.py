"""How synthetic images came about: positions between two images, and how many passed the filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synaug_core.report import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from torch import Tensor

    from synaug_core.synthesis.alpha_sweep import AlphaSweep, Appearance

__all__ = ["alpha_figure", "funnel_figure"]

_MOST_WALKS = 4
_PANELS = {
    "sharpness": ("sharpness", "reals = 1"),
    "variety": ("variety", "distance of two, reals = 1"),
    "novelty": ("distance to the nearest real", "real to real = 1"),
    "distinct": ("different images", "% of those made"),
}
_CERTAIN = {"distinct": 100.0}


def alpha_figure(sweeps: Sequence[AlphaSweep]) -> Figure:
    """A walk of up to four classes on top; below it the look of images made at single values of a, and on grids.

    In the lower row the hollow marks at the right are images with a drawn from all of [0, 1].

    Args:
        sweeps: one for each class, one at least, all with the same values of a and the same grids.
    """
    walks = sweeps[:_MOST_WALKS]
    tiles = len(walks[0].walk) + 2
    width = 13.0
    tall = len(walks) * (width - 1.6) / (tiles + 0.6) + 0.45
    figure = style.new_figure(width, tall + 6.2)
    halves = figure.add_gridspec(2, 1, height_ratios=[tall, 6.2])
    top, bottom = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    _walks(top, walks)
    colours = style.line_colours([s.class_name for s in sweeps])
    panels = bottom.subplots(2, len(_PANELS))
    for column, measure in enumerate(_PANELS):
        single, grid = panels[0, column], panels[1, column]
        for sweep in sweeps:
            colour = colours[sweep.class_name]
            label = f"{words.in_figure(sweep.class_name)} ({sweep.images})" if column == 0 else None
            _line(single, sweep.by_alpha, measure, colour, label)
            _grid(grid, sweep, measure, colour)
        name, unit = _PANELS[measure]
        for axes, axis_label in ((single, "a"), (grid, "values of a in the grid")):
            style.dress(axes, grid="y", small=True)
            axes.set_xlabel(axis_label, fontsize=style.SMALL)
            axes.set_ylim(bottom=0)
            if measure not in _CERTAIN:
                axes.axhline(1, color=style.GREY, lw=0.9, ls="--", zorder=1)
                axes.set_ylim(top=max(1.08, axes.get_ylim()[1]))
            else:
                axes.set_ylim(top=105)
        style.title(single, name)
        for axes in (single, grid):
            axes.set_ylabel(unit, fontsize=style.SMALL)
        _grid_ticks(grid, sweeps[0])
    bottom.legend(loc="outside lower center", ncols=min(len(sweeps), 6), frameon=False, fontsize=style.SMALL)
    return figure


def _walks(figure: SubFigure, sweeps: Sequence[AlphaSweep]) -> None:
    tiles = len(sweeps[0].walk) + 2
    gap = 0.3
    widths = [1.0, gap, *[1.0] * (tiles - 2), gap, 1.0]
    grid = figure.subplots(len(sweeps), len(widths), width_ratios=widths, squeeze=False)
    heads = ["real", "", *[f"a = {a:g}" for a in sweeps[0].by_alpha], "", "real"]
    for row, sweep in zip(grid, sweeps, strict=True):
        images = [sweep.ends[0], None, *sweep.walk, None, sweep.ends[1]]
        for axes, pixels in zip(row, images, strict=True):
            axes.set_axis_off()
            if pixels is not None:
                axes.imshow(_pixels(pixels), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        row[0].set_axis_on()
        row[0].set_xticks([])
        row[0].set_yticks([])
        row[0].spines[:].set_visible(False)
        row[0].set_ylabel(words.in_figure(sweep.class_name, 16), fontsize=style.SMALL, color=style.INK)
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(head, fontsize=style.SMALL, color=style.INK)


def _pixels(image: Tensor) -> object:
    return image.permute(1, 2, 0).squeeze(2).numpy()


def _line(axes: Axes, looks: Mapping[float, Appearance], measure: str, colour: str, label: str | None) -> None:
    scale = _CERTAIN.get(measure, 1.0)
    points = [(x, scale * v) for x, appearance in looks.items() if (v := getattr(appearance, measure)) is not None]
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, "o-", color=colour, lw=1.6, ms=4, label=label)


def _grid(axes: Axes, sweep: AlphaSweep, measure: str, colour: str) -> None:
    _line(axes, {float(i): appearance for i, appearance in enumerate(sweep.by_grid.values())}, measure, colour, None)
    value = getattr(sweep.uniform, measure)
    if value is not None:
        scale = _CERTAIN.get(measure, 1.0)
        axes.plot(len(sweep.by_grid), scale * value, "o", mfc="white", mec=colour, mew=1.5, ms=5.5, zorder=3)


def _grid_ticks(axes: Axes, sweep: AlphaSweep) -> None:
    axes.set_xticks(range(len(sweep.by_grid) + 1), [*map(str, sweep.by_grid), "any"])


_KEPT_COLOUR = "#0072B2"
_REASONS = ("#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#009E73", "#9ca3af")
_SURPLUS = "#d1d5db"
_SHORT = "#b91c1c"


def funnel_figure(funnel: Mapping[str, Mapping[str, Any]], heading: str = "") -> Figure:
    """A bar for each class: kept images, then the dropped ones by reason; a mark where the plan is filled.

    Args:
        funnel: class -> `planned`, `made`, `kept` (counts), `dropped` (reason -> count) and `filled` (whether as many
            as wanted were kept), one class at least, and `surplus` where images passed that were not needed any
            more. A class's counts may all be 0.
        heading: above the figure.
    """
    reasons = list(dict.fromkeys(reason for counts in funnel.values() for reason, n in counts["dropped"].items() if n))
    parts = [("kept", _KEPT_COLOUR, [counts["kept"] for counts in funnel.values()])]
    for i, reason in enumerate(reasons):
        label = f"dropped: {words.in_figure(reason.replace('_', ' '), 40)}"
        parts.append(
            (label, _REASONS[i % len(_REASONS)], [counts["dropped"].get(reason, 0) for counts in funnel.values()])
        )
    if any(surplus := [counts.get("surplus", 0) for counts in funnel.values()]):
        parts.append(("not needed", _SURPLUS, surplus))
    rows = range(len(funnel))
    roomy = len(funnel) <= 12
    figure = style.new_figure(9.5, 1.5 + (0.42 if roomy else 0.28) * max(len(funnel), 2))
    axes = figure.add_subplot()
    style.dress(axes, grid="x", small=not roomy)
    longest = max((max(counts["made"], counts["wanted"]) for counts in funnel.values()), default=0) or 1
    bar_starts = [0] * len(funnel)
    for label, colour, values in parts:
        axes.barh(
            rows, values, left=bar_starts, color=colour, height=0.68, label=label, edgecolor="white", linewidth=0.6
        )
        bar_starts = [start + value for start, value in zip(bar_starts, values, strict=True)]
    planned_counts = [counts["wanted"] for counts in funnel.values()]
    axes.vlines(
        planned_counts, [r - 0.44 for r in rows], [r + 0.44 for r in rows], color=style.INK, lw=2, label="wanted"
    )
    for row, counts in zip(rows, funnel.values(), strict=True):
        accepted, planned_count, generated = (words.number(counts[key]) for key in ("kept", "wanted", "made"))
        text = f"{accepted} of {planned_count} wanted, {generated} made"
        axes.annotate(
            text if counts["filled"] else f"{text}, not filled",
            (max(counts["made"], counts["wanted"]), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL if roomy else 7.5,
            color=style.INK if counts["filled"] else _SHORT,
            fontweight="normal" if counts["filled"] else "bold",
        )
    axes.set_yticks(rows, [words.in_figure(name) for name in funnel])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(funnel) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.42)
    axes.set_xticks([t for t in axes.get_xticks() if t <= longest * 1.02 and t == int(t)])
    axes.spines[["left"]].set_visible(False)
    axes.set_xlabel("images")
    if heading:
        style.title(axes, words.in_figure(heading, 80))
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=style.SMALL)
    return figure
