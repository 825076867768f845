"""One look for every figure, set on each object: matplotlib's global settings are shared between threads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.results import Comparison

__all__ = [
    "ACCENT",
    "GREY",
    "INK",
    "LIGHT",
    "SMALL",
    "arm_styles",
    "dress",
    "line_colours",
    "new_figure",
    "png",
    "title",
]

INK = "#1f2328"
GREY = "#6b7280"
LIGHT = "#e5e7eb"
ACCENT = "#0072B2"
TEXT, SMALL, HEAD = 10.0, 8.5, 12.0

# Okabe and Ito's colours, which colour-blind people tell apart: cool ones for controls, warm ones for synthetic arms
_CONTROLS = ("#0072B2", "#56B4E9", "#009E73", "#6b7280")
_SYNTHETIC = ("#D55E00", "#E69F00", "#CC79A7", "#8c2d04")
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b7280", "#000000")
_CONTROL_MARKS, _SYNTHETIC_MARKS = "os^h", "Dvp>"


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, inches, laid out without overlaps."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def dress(axes: Axes, *, grid: Literal["x", "y"] | None = None, small: bool = False) -> None:
    """Quiet axes: no box, grey ticks, readable labels; `grid` is x, y or None."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9ca3af")
    axes.tick_params(colors=INK, labelsize=SMALL if small else TEXT - 0.5, length=3, width=0.8)
    axes.xaxis.label.set(color=INK, fontsize=TEXT)
    axes.yaxis.label.set(color=INK, fontsize=TEXT)
    if grid:
        axes.grid(axis=grid, color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)


def title(axes: Axes, text: str) -> None:
    """A panel's title, flush left."""
    axes.set_title(text, fontsize=HEAD - 1, color=INK, loc="left", fontweight="bold")


def arm_styles(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Colour and marker of each arm: equal in every figure of one comparison."""
    styles: dict[str, tuple[str, str]] = {}
    counts = {True: 0, False: 0}
    for arm, result in comparison.arms.items():
        colours, marks = (_CONTROLS, _CONTROL_MARKS) if result.is_control else (_SYNTHETIC, _SYNTHETIC_MARKS)
        i = counts[result.is_control]
        styles[arm] = (colours[i % len(colours)], marks[(i + i // len(colours)) % len(marks)])
        counts[result.is_control] += 1
    return styles


def line_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of some lines: distinct ones up to 8, else along a scale."""
    if len(names) <= len(_LINES):
        return dict(zip(names, _LINES, strict=False))
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    scale = colormaps["viridis"]
    return {name: to_hex(scale(0.92 * i / (len(names) - 1))) for i, name in enumerate(names)}


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    return buffer.getvalue()
