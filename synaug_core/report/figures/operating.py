"""The rarest class against the rest: what precision costs in recall, and what a threshold set beforehand reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synaug_core.report import style
from synaug_core.report.words import in_figure, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.intervals import Interval
    from synaug_core.evaluate.operating import OperatingPoint
    from synaug_core.evaluate.reliability import Reliability
    from synaug_core.evaluate.results import Comparison

__all__ = ["operating_figure"]


def operating_figure(comparison: Comparison, reliability: Mapping[str, Reliability]) -> Figure:
    """Precision-recall curves of the rarest class on the test images, a line for each arm with its operating point;
    beside them the operating points with their intervals.

    Args:
        comparison: gives the arms' order and colours.
        reliability: arm -> its curve and operating point; arms without are left out.
    """
    shown = {arm: reliability[arm] for arm in comparison.arms if arm in reliability}
    figure = style.new_figure(11.8, max(3.9, 1.5 + 0.46 * len(shown)))
    curves, recall, precision = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    styles = style.arm_styles(comparison)
    _curves(curves, shown, styles)
    points = {arm: one.point for arm, one in shown.items()}
    _rows(recall, {arm: p.recall for arm, p in points.items()}, points, styles)
    _rows(precision, {arm: p.precision for arm, p in points.items()}, points, styles)
    rare = in_figure(next(iter(shown.values())).rarest, 22) if shown else ""
    style.title(curves, f"{rare} against the rest")
    style.title(recall, "recall at the threshold, %")
    style.title(precision, "precision at the threshold, %")
    recall.set_yticks(range(len(shown)), [in_figure(arm, 20) for arm in shown])
    precision.set_yticks(range(len(shown)), [])
    if points:
        wanted = next(iter(points.values())).wanted
        for line in (curves.axhline, precision.axvline):
            line(100 * wanted, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)
        figure.supxlabel(_note(points, wanted), fontsize=style.SMALL, color=style.GREY)
    return figure


def _curves(axes: Axes, shown: Mapping[str, Reliability], styles: Mapping[str, tuple[str, str]]) -> None:
    style.dress(axes, grid="y")
    thin = len(shown) > 6
    for arm, one in shown.items():
        colour, mark = styles[arm]
        if one.curve:
            x, y = zip(*one.curve, strict=True)
            width, alpha = (1.0, 0.55) if thin else (1.5, 0.8)
            axes.plot([100 * v for v in x], [100 * v for v in y], color=colour, lw=width, alpha=alpha)
        if one.point.recall and one.point.precision:
            sure = one.point.reached == one.repetitions
            axes.plot(
                100 * one.point.recall.mean,
                100 * one.point.precision.mean,
                mark,
                color=colour if sure else "white",
                mec="white" if sure else colour,
                mew=0.9 if sure else 1.5,
                ms=9,
                clip_on=False,
                zorder=4,
            )
    if not any(one.curve for one in shown.values()):
        axes.text(50, 50, "no test images of this class", ha="center", color=style.GREY)
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 102)
    axes.set_xlabel("recall, %")
    axes.set_ylabel("precision, %")


def _rows(
    axes: Axes,
    values: Mapping[str, Interval | None],
    points: Mapping[str, OperatingPoint],
    styles: Mapping[str, tuple[str, str]],
) -> None:
    style.dress(axes, grid="x")
    for row, (arm, value) in enumerate(values.items()):
        colour, mark = styles[arm]
        reached, of = points[arm].reached, len(points[arm].thresholds)
        if value is None:
            text = "none taken for it" if reached else "not reached"
            axes.text(50, row, text, va="center", ha="center", fontsize=style.SMALL, color=style.GREY)
            continue
        sure = reached == of
        axes.plot([100 * value.low, 100 * value.high], [row, row], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(
            100 * value.mean,
            row,
            mark,
            color=colour if sure else "white",
            mec="white" if sure else colour,
            mew=0.8 if sure else 1.5,
            ms=7.5,
        )
        text = percent(value.mean) + ("" if sure else f"  ({reached} of {of} reached)")
        # a long text at the edge would leave the panel
        side = "left" if value.mean < 0.2 and not sure else "right" if value.mean > 0.8 and not sure else "center"
        axes.annotate(
            text,
            (100 * value.mean, row),
            xytext=(0, 8),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=style.SMALL,
            color=style.INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(values) - 0.4, -0.85)
    axes.set_xlim(-3, 103)


def _note(points: Mapping[str, OperatingPoint], wanted: float) -> str:
    some = next(iter(points.values()))
    seen = min(p.validation_positives for p in points.values())
    said = f"Thresholds set on the validation images ({seen} of the class) for {100 * wanted:g} % precision (dashed)"
    said += f", tested on {some.test_positives} images of it."
    if any(p.few for p in points.values()):
        said += " With so few, a threshold is largely chance."
    if any(p.reached < len(p.thresholds) for p in points.values()):
        said += "\nHollow: not reached in every repetition; such a repetition counts as recall 0."
    return said
