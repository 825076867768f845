"""How far probabilities can be trusted: calibration, and precision and recall at a threshold set beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synaug_core.report import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate import intervals, operating, results
    from synaug_core.evaluate.reliability import ConfidenceBins, Reliability

__all__ = ["operating_figure", "reliability_figure"]

_COLUMNS = 4
_SCALED = "#374151"


def reliability_figure(comparison: results.Comparison, scaled: Mapping[str, Reliability] | None = None) -> Figure:
    """Share correct against confidence, a panel for each arm; grey bars are the share of predictions in a bin.

    Args:
        comparison: what to show.
        scaled: arm -> what temperature scaling made of it; its points are hollow.
    """
    arms = list(comparison.arms)
    rows = -(-len(arms) // _COLUMNS)
    columns = -(-len(arms) // rows)
    figure = style.new_figure(3.1 * columns + 0.4, 2.9 * rows + 0.3 + (0.25 if scaled else 0))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = style.arm_styles(comparison)
    for axes, arm in zip(grid.flat, arms, strict=False):
        result = comparison.arms[arm]
        scaled_arm = (scaled or {}).get(arm)
        _ground(axes, result.calibration)
        style.title(axes, words.in_figure(arm, 18))
        colour, _ = styles[arm]
        _points(axes, result.calibration, colour, hollow=False)
        if scaled_arm is not None:
            _points(axes, scaled_arm.after.bins, _SCALED, hollow=True)
        if brier := result.metrics.get("brier"):
            text = f"Brier score {brier.mean:.3f}"
            if scaled_arm is not None:
                text += f"\nscaled, T = {scaled_arm.temperature:.2f}: {scaled_arm.after.brier:.3f}"
            axes.text(2, 99, text, fontsize=style.SMALL, va="top", color=style.INK, linespacing=1.35)
    for axes in list(grid.flat)[len(arms) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(len(arms) - columns, 0) : len(arms)]:
        axes.tick_params(labelbottom=True)  # the lowest of its column, also where the last row is not full
    figure.supxlabel("confidence in the predicted class, %", fontsize=10, color=style.INK)
    figure.supylabel("share correct, %", fontsize=10, color=style.INK)
    if scaled:
        _legend(figure)
    return figure


def _ground(axes: Axes, bins: ConfidenceBins) -> None:
    images = np.array(bins.images)
    style.dress(axes, small=True)
    edges = np.linspace(0, 100, len(images) + 1)
    axes.bar(edges[:-1], 100 * images / images.sum(), width=edges[1], align="edge", color=style.LIGHT)
    axes.plot([0, 100], [0, 100], color=style.GREY, lw=1, ls=(0, (4, 3)))
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)


def _points(axes: Axes, bins: ConfidenceBins, colour: str, *, hollow: bool) -> None:
    images = np.array(bins.images)
    is_filled = images >= max(1, 0.02 * images.sum())  # a bin of two or three predictions says nothing
    confidence = 100 * np.array(bins.confidence)[is_filled] / images[is_filled]
    correct = 100 * np.array(bins.correct)[is_filled] / images[is_filled]
    size = 14 + 110 * images[is_filled] / images.sum()
    if hollow:
        axes.plot(confidence, correct, color=colour, lw=1, ls=(0, (2, 2)), zorder=3)
        axes.scatter(confidence, correct, s=size, facecolor="white", ec=colour, lw=1.1, zorder=3, clip_on=False)
    else:
        axes.plot(confidence, correct, color=colour, lw=1.2, alpha=0.7)
        axes.scatter(confidence, correct, s=size, color=colour, ec="white", lw=0.6, clip_on=False)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", ls="-", lw=1.2, ms=6, color=style.ACCENT, mec="white", label="as trained"),
        Line2D(
            [],
            [],
            marker="o",
            ls=(0, (2, 2)),
            lw=1,
            ms=6,
            color=_SCALED,
            mfc="white",
            label="after temperature scaling on the validation images",
        ),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False, fontsize=style.SMALL)


def operating_figure(comparison: results.Comparison, reliability: Mapping[str, Reliability]) -> Figure:
    """Precision-recall curves of the rarest class on the test images, a line for each arm with its operating point;
    beside them the operating points with their intervals.

    Args:
        comparison: gives the arms' order and colours.
        reliability: arm -> its curve and operating point; arms without are left out.
    """
    reliability_by_arm = {arm: reliability[arm] for arm in comparison.arms if arm in reliability}
    figure = style.new_figure(11.8, max(3.9, 1.5 + 0.46 * len(reliability_by_arm)))
    curves, recall, precision = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    styles = style.arm_styles(comparison)
    _curves(curves, reliability_by_arm, styles)
    points = {arm: arm_reliability.point for arm, arm_reliability in reliability_by_arm.items()}
    _rows(recall, {arm: p.recall for arm, p in points.items()}, points, styles)
    _rows(precision, {arm: p.precision for arm, p in points.items()}, points, styles)
    rare = words.in_figure(next(iter(reliability_by_arm.values())).rarest, 22) if reliability_by_arm else ""
    style.title(curves, f"{rare} against the rest")
    style.title(recall, "recall at the threshold, %")
    style.title(precision, "precision at the threshold, %")
    recall.set_yticks(range(len(reliability_by_arm)), [words.in_figure(arm, 20) for arm in reliability_by_arm])
    precision.set_yticks(range(len(reliability_by_arm)), [])
    if points:
        target = next(iter(points.values())).target_precision
        for line in (curves.axhline, precision.axvline):
            line(100 * target, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)
        figure.supxlabel(_note(points, target), fontsize=style.SMALL, color=style.GREY)
    return figure


def _curves(axes: Axes, reliability_by_arm: Mapping[str, Reliability], styles: Mapping[str, tuple[str, str]]) -> None:
    style.dress(axes, grid="y")
    thin = len(reliability_by_arm) > 6
    for arm, arm_reliability in reliability_by_arm.items():
        colour, mark = styles[arm]
        if arm_reliability.curve:
            x, y = zip(*arm_reliability.curve, strict=True)
            width, alpha = (1.0, 0.55) if thin else (1.5, 0.8)
            axes.plot([100 * v for v in x], [100 * v for v in y], color=colour, lw=width, alpha=alpha)
        if arm_reliability.point.recall and arm_reliability.point.precision:
            sure = arm_reliability.point.reached_count == arm_reliability.repetitions
            axes.plot(
                100 * arm_reliability.point.recall.mean,
                100 * arm_reliability.point.precision.mean,
                mark,
                color=colour if sure else "white",
                mec="white" if sure else colour,
                mew=0.9 if sure else 1.5,
                ms=9,
                clip_on=False,
                zorder=4,
            )
    if not any(arm_reliability.curve for arm_reliability in reliability_by_arm.values()):
        axes.text(50, 50, "no test images of this class", ha="center", color=style.GREY)
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 102)
    axes.set_xlabel("recall, %")
    axes.set_ylabel("precision, %")


def _rows(
    axes: Axes,
    values: Mapping[str, intervals.Interval | None],
    points: Mapping[str, operating.OperatingPoint],
    styles: Mapping[str, tuple[str, str]],
) -> None:
    style.dress(axes, grid="x")
    for row, (arm, value) in enumerate(values.items()):
        colour, mark = styles[arm]
        reached_count, trainings = points[arm].reached_count, len(points[arm].thresholds)
        if value is None:
            text = "none taken for it" if reached_count else "not reached"
            axes.text(50, row, text, va="center", ha="center", fontsize=style.SMALL, color=style.GREY)
            continue
        sure = reached_count == trainings
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
        text = words.percent(value.mean) + ("" if sure else f"  ({reached_count} of {trainings} reached)")
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


def _note(points: Mapping[str, operating.OperatingPoint], target: float) -> str:
    some = next(iter(points.values()))
    positives = min(p.validation_positives for p in points.values())
    text = (
        f"Thresholds set on the validation images ({positives} of the class) for {100 * target:g} % precision (dashed)"
    )
    text += f", tested on {some.test_positives} images of it."
    if any(p.has_few_images for p in points.values()):
        text += " With so few, a threshold is largely chance."
    if any(p.reached_count < len(p.thresholds) for p in points.values()):
        text += "\nHollow: not reached in every repetition; such a repetition counts as recall 0."
    return text
