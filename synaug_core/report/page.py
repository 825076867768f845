"""The page of a comparison: the answer first, then what it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.report.figures.calibration import reliability_figure
from synaug_core.report.figures.confusion import arm_confusion
from synaug_core.report.figures.forest import forest_figure
from synaug_core.report.figures.recall import recall_figure
from synaug_core.report.html import Picture, pictures, render
from synaug_core.report.words import metric_name, plain

if TYPE_CHECKING:
    from synaug_core.evaluate.comparison import Comparison

__all__ = ["comparison_page"]

_SHOWN = ("balanced_accuracy", "macro_auc", "macro_f1", "accuracy", "ece")
_LOW_IS_GOOD = {"ece"}
_FEW_IMAGES = 10
_ROOMY = 12


def comparison_page(
    comparison: Comparison,
    *,
    name: str = "",
    dataset: Mapping[str, Any] | None = None,
    sheets: Mapping[str, Picture] | None = None,
    figures: Mapping[str, Picture] | None = None,
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> str:
    """One self-contained HTML page.

    Args:
        comparison: what was found.
        name: the data set's name.
        dataset: a DatasetReport as JSON: counts, rejected and removed images.
        sheets: caption -> sheet of images.
        figures: caption -> further figure.
        config: the configuration as JSON.
        versions: what produced it: code and libraries.
    """
    shown = [a for a in (comparison.best_control, comparison.best_synthetic) if a] or [comparison.best_arm]
    # beyond that, matrices are large and slow to draw
    others = [a for a in comparison.arms if a not in shown] if len(comparison.classes) <= _ROOMY else []
    return render(
        "comparison.html",
        c=comparison,
        name=plain(name, 60) if name else "",
        columns=_columns(comparison),
        best=_best(comparison),
        forest=pictures({"": forest_figure(comparison)}),
        recall=pictures({"": recall_figure(comparison)}),
        confusions=pictures({plain(a): arm_confusion(comparison, a) for a in shown}),
        more_confusions=pictures({plain(a): arm_confusion(comparison, a) for a in others}),
        reliability=pictures({"": reliability_figure(comparison)}),
        sheets=pictures(sheets or {}),
        figures=pictures(figures or {}),
        dataset=dataset,
        counts=_counts(comparison, dataset),
        removals=_removals(dataset),
        config=json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
        versions=versions or {},
        limits=_limits(comparison),
    )


def _columns(comparison: Comparison) -> dict[str, str]:
    """Metric -> heading, the rarest class first."""
    rare = comparison.rarest_class
    first = {f"class/{comparison.slug(rare)}/recall": f"recall of {plain(rare)}"}
    return first | {metric: metric_name(metric) for metric in _SHOWN}


def _best(comparison: Comparison) -> dict[str, float]:
    """The best mean of each column, for marking."""
    found = {}
    for metric in _columns(comparison):
        means = [r.metrics[metric].mean for r in comparison.arms.values() if metric in r.metrics]
        if len(means) > 1:
            found[metric] = min(means) if metric in _LOW_IS_GOOD else max(means)
    return found


def _counts(comparison: Comparison, dataset: Mapping[str, Any] | None) -> list[tuple[str, list[int]]]:
    """Class -> training, validation (where known) and test images, the rarest class first."""
    known = (dataset or {}).get("counts", {})
    val = known.get("val")
    rows = []
    for name in comparison.by_rarity:
        row = [comparison.train_counts[name], comparison.test_counts[name]]
        rows.append((name, [row[0], val.get(name, 0), row[1]] if val else row))
    return rows


def _removals(dataset: Mapping[str, Any] | None) -> dict[str, int]:
    """Reason -> number of images left out for it."""
    reasons: dict[str, int] = {}
    for removed in (dataset or {}).get("removed", ()):
        reasons[removed["reason"]] = reasons.get(removed["reason"], 0) + 1
    return dict(sorted(reasons.items(), key=lambda item: -item[1]))


def _limits(comparison: Comparison) -> list[str]:
    """What these figures cannot say."""
    said = []
    few = [c for c in comparison.by_rarity if 0 < comparison.test_counts[c] < _FEW_IMAGES]
    none = [c for c in comparison.by_rarity if not comparison.test_counts[c]]
    if none:
        said.append(f"No test images, hence no figures: {', '.join(plain(c) for c in none)}.")
    if few:
        named = ", ".join(f"{plain(c)} ({comparison.test_counts[c]})" for c in few[:8])
        more = f" and {len(few) - 8} more" if len(few) > 8 else ""
        said.append(f"Few test images, hence wide intervals: {named}{more}.")
    if min(r.repetitions for r in comparison.arms.values()) == 1:
        said.append("One repetition: the intervals know nothing of how much training varies.")
    said.append("All figures are about these test images; images from elsewhere may fare otherwise.")
    said.append("Many figures stand side by side here. Only the first sentence is a test that was fixed beforehand.")
    return said
