"""The page of a sweep: every combination beside the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.report.figures.sweep import METRICS, sweep_figure
from synaug_core.report.html import pictures, render
from synaug_core.report.words import metric_name

if TYPE_CHECKING:
    from synaug_core.evaluate.sweep import SweepResult

__all__ = ["sweep_page"]


def sweep_page(result: SweepResult, *, name: str = "", config: Mapping[str, Any] | None = None) -> str:
    """One self-contained HTML page.

    Args:
        result: the sweep.
        name: the data set's name.
        config: what all combinations have in common.
    """
    shown = [metric for metric in METRICS if any(metric in arm for cell in result.cells for arm in cell.arms.values())]
    return render(
        "sweep.html",
        sweep=result,
        name=name,
        figures=pictures({metric_name(metric): sweep_figure(result, metric) for metric in shown}),
        columns={metric: metric_name(metric) for metric in shown},
        failed=[cell for cell in result.cells if cell.verdict is None],
        config=json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
    )
