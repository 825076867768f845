"""The scores of one set of predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import BINS, Scorer, top_label_bins
from synaug_core.names import slugs

__all__ = ["calibration", "confusion", "scores"]


def scores(p: Predictions) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro-AUC, ECE, averages, and precision, recall, F1 and support of each class.

    Names are `accuracy`, `balanced_accuracy`, `macro_auc`, `ece`, `{macro,weighted}_{precision,recall,f1}` and
    `class/<slug>/{precision,recall,f1,support}`; all but `support` lie in [0, 1]. What is undefined is left out:
    a class without images, the precision of a class that was never predicted, the AUC where all images are of
    one class, and everything where there is no image.
    """
    if not len(p):
        return {}
    scorer, ones = Scorer(p), np.ones((len(p), 1))
    counts = scorer.counts(ones)
    found = {name: float(values[0]) for name, values in scorer.averages(counts).items()}
    found |= {"macro_auc": float(scorer.macro_auc(ones)[0]), "ece": float(scorer.ece(ones)[0])}
    for c, name in enumerate(slugs(p.classes).values()):
        if scorer.present[c]:
            for metric in ("precision", "recall", "f1", "support"):
                found[f"class/{name}/{metric}"] = float(getattr(counts, metric)[c, 0])
    return {name: value for name, value in found.items() if not np.isnan(value)}


def confusion(p: Predictions) -> NDArray[np.int64]:
    """int64 (C, C): images of class i (row) that were taken for class j (column)."""
    classes = len(p.classes)
    return np.bincount(p.labels * classes + p.predicted, minlength=classes**2).reshape(classes, classes)


def calibration(p: Predictions) -> NDArray[np.float64]:
    """float64 (3, 15): number of images, sum of confidences and number correct in each confidence bin."""
    bins, confidence, correct = top_label_bins(p)
    rows = [np.bincount(bins, weight, minlength=BINS) for weight in (None, confidence, correct)]
    return np.stack(rows).astype(np.float64)
