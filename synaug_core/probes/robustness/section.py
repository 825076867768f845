"""How accuracy falls on disturbed and attacked test images: the section of a report, its figure and its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from synaug_core.probes.base import ReportSection, Table
from synaug_core.probes.robustness.curves import ArmRobustness, MeanCurve, attack_name, sentences
from synaug_core.report import style
from synaug_core.report.words import in_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.results import Comparison

__all__ = ["robustness_figure", "robustness_section"]

_COLUMNS = 4
_CROWD = 4
_NAMES = {
    "flip": "mirrored at the diagonal",
    "brightness": "light",
    "crop": "cropped",
}


def robustness_section(arms: Mapping[str, ArmRobustness], comparison: Comparison) -> ReportSection:
    """Sentences, curves, and each arm's summary as a table.

    Args:
        arms: by name, measured alike; at least one.
        comparison: knows the best control, and each arm's colour and marker.
    """
    names = {"clean": "undisturbed", "perturbed": "disturbed"}
    summary = next(iter(arms.values())).summary
    return ReportSection(
        anchor="robustness",
        heading="Disturbed and attacked images",
        sentences=sentences(arms, comparison.best_control),
        picture=robustness_figure(arms, comparison),
        alt="Balanced accuracy over the strength of each disturbance and attack, a line for each arm",
        picture_note="Left in each panel: undisturbed images. A line that falls later is better. Bands: lowest to "
        "highest training. Dashed: chance.",
        table=Table(
            headings=(
                "balanced accuracy, in %",
                *(names.get(name, f"attack {attack_name(name)}") for name in summary),
                "trainings",
            ),
            rows=[(arm, (*(r.summary.get(name) for name in summary), str(r.trainings))) for arm, r in arms.items()],
            note="Means over all strengths; below each the lowest and highest training.",
        ),
    )


def robustness_figure(arms: Mapping[str, ArmRobustness], comparison: Comparison) -> Figure:
    """Balanced accuracy over strength: a panel for each perturbation and, in rows of their own, each attack.

    A line is an arm's mean; its band reaches from the lowest to the highest of its trainings. The dashed line is
    chance, which attacks may go below.

    Args:
        arms: by name, asked the same; at least one.
        comparison: knows each arm's colour and marker.

    Raises:
        ValueError: nothing to draw.
    """
    drawn = {arm: {c.name: c for c in result.curves} for arm, result in arms.items()}
    first = next(iter(drawn.values()), {})
    if not first:
        raise ValueError("arms: no curve to draw")
    blocks = [[c.name for c in first.values() if c.kind == kind] for kind in ("perturbation", "attack")]
    columns = min(_COLUMNS, max(map(len, blocks)))
    rows = [block[i : i + columns] for block in blocks for i in range(0, len(block), columns)]
    legend = -(-len(arms) // 4)
    figure = style.new_figure(2.75 * columns + 0.5, 2.3 * len(rows) + 0.45 + 0.24 * legend)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    chance = 100 / max(1, len(next(iter(arms.values())).classes))
    styles = style.arm_styles(comparison)
    for line, names in zip(grid, rows, strict=True):
        low = min(_lowest(drawn, blocks[first[names[0]].kind == "attack"]), chance)
        for i, axes in enumerate(line):
            if i >= len(names):
                axes.set_visible(False)
                continue
            style.dress(axes, grid="y", small=True)
            axes.set_ylim(10 * math.floor(low / 10) - 3, 103)
            axes.tick_params(axis="y", labelleft=i == 0)
            axes.axhline(chance, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)
            for arm, curves in drawn.items():
                _line(axes, curves[names[i]], *styles[arm], label=in_figure(arm, 20), crowded=len(arms) > _CROWD)
            _label_axes(axes, first[names[i]])
    figure.supylabel("balanced accuracy, %", fontsize=10, color=style.INK)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=style.SMALL + 0.5)
    return figure


def _lowest(drawn: Mapping[str, Mapping[str, MeanCurve]], names: list[str]) -> float:
    """In percent, over all arms: panels of one kind have one scale."""
    return min(100 * p.balanced_accuracy.low for curves in drawn.values() for n in names for p in curves[n].points)


def _line(axes: Axes, curve: MeanCurve, colour: str, mark: str, *, label: str, crowded: bool) -> None:
    positions = range(len(curve.points))  # evenly spaced: eps doubles from point to point, and 0 has its place too
    bands = [p.balanced_accuracy for p in curve.points]
    low, high = [100 * b.low for b in bands], [100 * b.high for b in bands]
    if low != high:
        axes.fill_between(positions, low, high, color=colour, alpha=0.07 if crowded else 0.14, lw=0)
    mean = [100 * b.mean for b in bands]
    axes.plot(positions, mean, color=colour, marker=mark, ms=4, mec="white", mew=0.5, lw=1.4, label=label)


def _label_axes(axes: Axes, curve: MeanCurve) -> None:
    is_attack = curve.kind == "attack"
    style.title(axes, f"attack: {attack_name(curve.name)}" if is_attack else _NAMES.get(curve.name, curve.name))
    axes.set_xticks(range(len(curve.points)), [f"{p.strength:g}" for p in curve.points])
    unit = "largest change of a pixel, 255ths" if is_attack else "severity"
    axes.set_xlabel(unit, fontsize=style.SMALL)
