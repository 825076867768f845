"""Rows of the page's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.report.words import metric_name, plain
from synaug_core.robustness.report import attack_name

if TYPE_CHECKING:
    from synaug_core.evaluate.results import Comparison
    from synaug_core.explanation.report import Explanation, MapChange
    from synaug_core.robustness.report import ArmRobustness, Band

__all__ = ["best", "columns", "counts", "map_changes", "robustness_table"]

_SHOWN = ("balanced_accuracy", "macro_auc", "macro_f1", "accuracy", "ece")
_LOW_IS_GOOD = {"ece"}
_ROUNDED = 9


def columns(comparison: Comparison) -> dict[str, str]:
    """Metric -> heading, the rarest class first."""
    rare = comparison.rarest_class
    first = {f"class/{comparison.slug(rare)}/recall": f"recall of {plain(rare)}"}
    return first | {metric: metric_name(metric) for metric in _SHOWN}


def best(comparison: Comparison) -> dict[str, set[str]]:
    """The arms with the best mean of each column, all of them where they are level; none where there is one arm."""
    found = {}
    for metric in columns(comparison):
        means = {a: round(r.metrics[metric].mean, _ROUNDED) for a, r in comparison.arms.items() if metric in r.metrics}
        top = (min if metric in _LOW_IS_GOOD else max)(means.values(), default=0.0)
        found[metric] = {a for a, v in means.items() if v == top} if len(means) > 1 else set()
    return found


def counts(comparison: Comparison, dataset: Mapping[str, Any] | None) -> list[tuple[str, list[int]]]:
    """Class -> training, validation (where known) and test images, the rarest class first."""
    known = (dataset or {}).get("counts", {})
    val = known.get("val")
    rows = []
    for name in comparison.by_rarity:
        row = [comparison.train_counts[name], comparison.test_counts[name]]
        rows.append((name, [row[0], val.get(name, 0), row[1]] if val else row))
    return rows


def robustness_table(robustness: Mapping[str, ArmRobustness]) -> tuple[dict[str, str], dict[str, dict[str, Band]]]:
    """Heading of each figure of the summary, and by arm their mean, lowest and highest training."""
    named = {"clean": "undisturbed", "perturbed": "disturbed"}
    first = next(iter(robustness.values()))
    headings = {name: named.get(name, f"attack {attack_name(name)}") for name in first.summary}
    return headings, {arm: result.summary for arm, result in robustness.items()}


def map_changes(explanation: Explanation) -> list[tuple[str, MapChange]]:
    """Arm -> how far its maps are from the reference's; last, what chance alone changes."""
    rows = list(explanation.change.items())
    if rows and explanation.noise is not None:
        rows.append((f"{explanation.reference}, trained twice (chance)", explanation.noise))
    return rows
