"""The catalogue of metrics: all that is to be known of each stands in its entry, and everything else reads it.

A new metric is an entry here and a method of that name in `evaluate.scorer.Scorer`. Every one is computed with its
interval and recorded in MLflow (`test/<name>`) and in JSON; `places` says where people see it besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

__all__ = ["CLASS_METRICS", "METRICS", "ROBUST", "Endpoint", "Metric", "Needs", "Place", "shown_in"]

ROBUST = "robust_balanced_accuracy"
"""The one metric that comes from a probe, not from predictions of the test images."""

Place = Literal["terminal", "text", "page", "forest", "sweep"]
"""The table in the terminal, the text report, the page's table (and Prefect's), the forest figure, a sweep's figures.
The text report shows intervals of what the forest figure shows too, of others the mean alone. What decides is shown in
every place."""
Needs = Literal["predictions", "rarest", "threshold", "attacks"]
"""What a metric is computed from: predictions of the test images; also which class is the rarest; also a threshold that
was set on the validation images; or what the robustness probe found in every training."""


@dataclass(frozen=True)
class Metric:
    """One metric of a set of predictions.

    Attributes:
        name: in MLflow and JSON, and of its function in `Scorer`.
        title: what people call it.
        higher_is_better: its direction.
        may_decide: whether the declared contrast may be on it (`evaluation.primary.metric`).
        places: where it is shown.
        rank: smaller ones stand first where metrics stand side by side.
        bounds: its least and greatest value.
        raised_by_resampling: whether noise raises it, so that every bootstrap resample is worse than the data.
        in_percent: whether it is a share, shown in percent.
        needs: what it is computed from.
        of_rarest_class: the class metric whose value for the rarest class it is; "" for metrics of all classes.
    """

    name: str
    title: str
    higher_is_better: bool = True
    may_decide: bool = False
    places: tuple[Place, ...] = ()
    rank: int = 9
    bounds: tuple[float, float] = (0.0, 1.0)
    raised_by_resampling: bool = False
    in_percent: bool = True
    needs: Needs = "predictions"
    of_rarest_class: str = ""


CLASS_METRICS = ("precision", "recall", "f1")
"""Shares in [0, 1] of each class, named `class/<slug>/<metric>`; `support`, its number of images, is beside them."""

METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", places=("terminal", "text", "page"), rank=4),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            may_decide=True,
            places=("terminal", "text", "page", "forest", "sweep"),
            rank=1,
        ),
        Metric("macro_precision", "macro precision"),
        Metric("weighted_precision", "weighted precision"),
        Metric("macro_recall", "macro recall"),
        Metric("weighted_recall", "weighted recall"),
        Metric("macro_f1", "macro-F1", places=("terminal", "text", "page"), rank=3),
        Metric("weighted_f1", "weighted F1"),
        Metric(
            "macro_auc", "macro-AUC", may_decide=True, places=("terminal", "text", "page", "forest", "sweep"), rank=2
        ),
        Metric(
            "rarest_auc", "AUC of the rarest class", may_decide=True, places=("text", "page"), rank=5, needs="rarest"
        ),
        Metric(
            "rarest_average_precision",
            "average precision of the rarest class",
            may_decide=True,
            rank=6,
            needs="rarest",
        ),
        Metric(
            "rarest_recall_at_specificity",
            "recall of the rarest class at a chosen specificity",
            may_decide=True,
            rank=7,
            needs="threshold",
        ),
        Metric(
            "rarest_recall",
            "recall of the rarest class",
            may_decide=True,
            places=("terminal", "text", "page", "forest", "sweep"),
            rank=0,
            of_rarest_class="recall",
        ),
        Metric(ROBUST, "balanced accuracy under attack", may_decide=True, rank=8, needs="attacks"),
        Metric("ece", "calibration error", higher_is_better=False, raised_by_resampling=True),
        Metric(
            "brier",
            "Brier score",
            higher_is_better=False,
            bounds=(0.0, 2.0),
            in_percent=False,
        ),
        Metric(
            "nll",
            "log loss, nats",
            higher_is_better=False,
            bounds=(0.0, inf),
            in_percent=False,
        ),
    )
}
"""Name -> metric, in the order in which they are computed and stored; endpoints are tested in this order."""

if TYPE_CHECKING:
    Endpoint = str
else:
    Endpoint = Literal[tuple(metric.name for metric in METRICS.values() if metric.may_decide)]
"""The names of the metrics that may decide."""


def shown_in(place: Place) -> tuple[Metric, ...]:
    """The metrics that are shown in a place, by rank."""
    return tuple(sorted((m for m in METRICS.values() if place in m.places), key=lambda m: m.rank))
