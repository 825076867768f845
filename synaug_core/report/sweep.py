"""The page of a sweep: every combination beside the others, and the arms along what was varied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synaug_core.evaluate.sweep import RECIPE_METRICS
from synaug_core.metrics import shown_in
from synaug_core.report import html, style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.sweep import SweepCell, SweepResult

__all__ = ["along", "sweep_figure", "sweep_figures", "sweep_page"]


def sweep_figures(result: SweepResult) -> dict[str, bytes]:
    """A figure of each metric that a sweep shows and that the combinations have, as PNGs."""
    present = {name for cell in result.cells for metrics in cell.arms.values() for name in metrics}
    names = [metric.name for metric in shown_in("sweep") if metric.name in present]
    return {name: html.figure_png(sweep_figure(result, name)) for name in names}


def sweep_page(
    result: SweepResult,
    *,
    figures: Mapping[str, bytes] | None = None,
    name: str = "",
    config: Mapping[str, Any] | None = None,
) -> str:
    """One self-contained HTML page.

    Args:
        result: the sweep.
        figures: what `sweep_figures` made of it; None: made here.
        name: the data set's name.
        config: what all combinations have in common.
    """
    figures = sweep_figures(result) if figures is None else figures
    return html.render(
        "sweep.html",
        sweep=result,
        name=name,
        figures=html.embed_figures({words.metric_name(metric): figure for metric, figure in figures.items()}),
        recipes={name: words.metric_name(name) for name in RECIPE_METRICS}
        if any(cell.contrasts for cell in result.cells)
        else {},
        columns={metric: words.metric_name(metric) for metric in figures},
        failed=[cell for cell in result.cells if cell.verdict is None],
        config=json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
    )


_COLUMNS = 3
_MOST_PANELS = 12


def along(result: SweepResult) -> str:
    """The key that lies along the axis: the first whose values are all numbers, else the one with most values."""
    values = {key: list(dict.fromkeys(cell.labels[key] for cell in result.cells)) for key in result.varied}
    numeric = [key for key, labels in values.items() if len(labels) > 1 and all(_is_number(v) for v in labels)]
    return numeric[0] if numeric else max(values, key=lambda key: len(values[key]))


def sweep_figure(result: SweepResult, metric: str) -> Figure:
    """A line with interval for each arm, a panel for each combination of the other keys (the first 12).

    Args:
        result: the sweep.
        metric: a name of the catalogue.
    """
    key = along(result)
    panels: dict[tuple[tuple[str, str], ...], list[SweepCell]] = {}
    for cell in result.cells:
        panels.setdefault(tuple((k, v) for k, v in cell.labels.items() if k != key), []).append(cell)
    panel_items = list(panels.items())[:_MOST_PANELS]
    columns = min(_COLUMNS, len(panel_items))
    rows = -(-len(panel_items) // columns)
    figure = style.new_figure(1.2 + 3.9 * columns, 0.9 + 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    arms = list(dict.fromkeys(arm for cell in result.cells for arm in cell.arms))
    colours = style.line_colours(arms)
    names = list(dict.fromkeys(cell.labels[key] for cell in result.cells))
    for place, axes in enumerate(grid.flat):
        if place >= len(panel_items):
            axes.set_visible(False)
            continue
        fixed, cells = panel_items[place]
        _panel(axes, cells, key, names, metric, arms, colours)
        if fixed:
            style.title(axes, words.in_figure(", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in fixed), 40))
        axes.set_xlabel(words.in_figure(key, 40))
    for row in grid:
        row[0].set_ylabel(f"{words.metric_name(metric)}, %")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(arms)), frameon=False, fontsize=9)
    return figure


def _panel(
    axes: Axes,
    cells: Sequence[SweepCell],
    key: str,
    names: Sequence[str],
    metric: str,
    arms: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    style.dress(axes, grid="y")
    numeric = all(_is_number(name) for name in names)
    for number, arm in enumerate(arms):
        values = [(cell.labels[key], cell.arms[arm][metric]) for cell in cells if metric in cell.arms.get(arm, {})]
        shift = (number - (len(arms) - 1) / 2) * 0.6 / max(len(arms), 1)
        x = [names.index(label) + (0.12 if numeric else 1.0) * shift for label, _ in values]
        middle = [100 * interval.mean for _, interval in values]
        error_below = [100 * (interval.mean - interval.low) for _, interval in values]
        error_above = [100 * (interval.high - interval.mean) for _, interval in values]
        axes.errorbar(
            x,
            middle,
            yerr=[error_below, error_above],
            color=colours[arm],
            marker="o",
            ms=5,
            lw=1.6 if numeric else 0,
            elinewidth=1.2,
            capsize=2,
            label=words.in_figure(arm),
        )
    axes.set_xticks(range(len(names)), [words.in_figure(name, 14) for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
