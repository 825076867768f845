"""Every metric of one set of predictions, for many weightings of its images at once.

A plain score is the weighting with ones; a bootstrap resample is the weighting with how often each image was
drawn. Both come from this one place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.predictions import Predictions
from synaug_core.metrics import CLASS_METRICS, METRICS, Needs
from synaug_core.names import slugs

__all__ = [
    "BINS",
    "ENDPOINTS",
    "Counts",
    "RareClass",
    "Scorer",
    "calibration",
    "confusion",
    "ratio",
    "scorers_of",
    "scores",
    "top_label_bins",
]

Array = NDArray[Any]
Ranks = tuple[Array, Array, Array, Array]
"""Of a class: its images, the other images by rising score, and how many of those lie below, and below or level with,
each of its images."""

BINS = 15
"""Equal-width confidence bins of the calibration error."""
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as in a log: the smallest that float32 holds in full, 87 nats."""
_PAIRED_UP_TO = 2000
"""Most images whose pairs are held in memory: 16 MB."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Weighted counts, each (C, B) for C classes and B weightings: images of a class that were found, images of
    the class, and images that were taken for it."""

    hits: Array
    support: Array
    predicted: Array

    @cached_property
    def recall(self) -> Array:
        """Hits / support; NaN without images."""
        return ratio(self.hits, self.support)

    @cached_property
    def precision(self) -> Array:
        """Hits / predicted; NaN where nothing was taken for the class."""
        return ratio(self.hits, self.predicted)

    @cached_property
    def f1(self) -> Array:
        """2 hits / (support + predicted); 0 for a class that is there and was never found."""
        return ratio(2 * self.hits, self.support + self.predicted)


def ratio(above: Array, below: Array) -> Array:
    """Division with NaN where the divisor is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def top_label_bins(p: Predictions) -> tuple[NDArray[np.int64], Array, Array]:
    """Bin index, confidence and correctness of each image.

    Bin b holds the confidences in (b / 15, (b + 1) / 15]; confidence is the probability of the predicted class.
    """
    confidence = p.probabilities.max(1).astype(np.float64)
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.digitize(confidence, edges, right=True), confidence, (p.predicted == p.labels).astype(np.float64)


@dataclass(frozen=True)
class RareClass:
    """The class whose figures stand beside those of all classes.

    Attributes:
        index: among the classes of the predictions.
        threshold: least probability for which an image is taken for it, set on the training's validation images; None
            where these cannot say.
    """

    index: int
    threshold: float | None = None


class Scorer:
    """Metrics of `p` under image weights: arrays (n, B), any non-negative float; results have shape (B,).

    Without `rare` there are no metrics of the rarest class.
    """

    def __init__(self, p: Predictions, rare: RareClass | None = None) -> None:
        self.p, self.rare = p, rare
        n, classes = p.probabilities.shape
        self.present: NDArray[np.bool_] = np.bincount(p.labels, minlength=classes) > 0
        bins, confidence, correct = top_label_bins(p)
        self._gap = np.zeros((BINS, n))
        self._gap[bins, np.arange(n)] = confidence - correct

    def counts(self, weights: Array) -> Counts:
        """Hits, support and predictions of each class."""
        hits, support, predicted = np.split(self._sum_by_class @ weights, 3)
        return Counts(hits, support, predicted)

    @cached_property
    def _sum_by_class(self) -> Any:
        """Sparse (3 C, n), the ones of each image: right and of the class, of the class, taken for the class."""
        from scipy.sparse import csr_array

        n, classes = self.p.probabilities.shape
        labels, predicted = self.p.labels, self.p.predicted
        right = np.flatnonzero(labels == predicted)
        rows = np.concatenate([labels[right], classes + labels, 2 * classes + predicted])
        columns = np.concatenate([right, np.arange(n), np.arange(n)])
        return csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(3 * classes, n))

    def _by_class(self, weights: Array) -> Array:
        """(K, B): sums of weights over the images of each of the K classes that have any."""
        classes = len(self.present)
        return np.asarray((self._sum_by_class[classes : 2 * classes] @ weights)[self.present])

    def measure(self, weights: Array, counts: Counts | None = None) -> dict[str, Array]:
        """Every metric of the catalogue that can be computed; `counts` where they are computed already."""
        values = self.averages(self.counts(weights) if counts is None else counts)
        names = [name for name, m in METRICS.items() if not m.of_rarest_class and m.needs in self._given]
        return {name: values[name] if name in values else getattr(self, name)(weights) for name in names}

    @property
    def _given(self) -> tuple[Needs, ...]:
        if self.rare is None:
            return ("predictions",)
        return ("predictions", "rarest") if self.rare.threshold is None else ("predictions", "rarest", "threshold")

    def averages(self, counts: Counts) -> dict[str, Array]:
        """Accuracy, balanced accuracy, macro and weighted averages, over the classes that have images.

        A class that was never predicted counts as precision 0 in the averages (as in scikit-learn): leaving it
        out would reward a classifier that gives up a class.
        """
        present = self.present
        support = counts.support[present]
        share = support / support.sum(0)
        by_class = {
            "precision": np.nan_to_num(counts.precision[present], nan=0.0),
            "recall": counts.recall[present],
            "f1": counts.f1[present],
        }
        averages = {
            "accuracy": counts.hits.sum(0) / counts.support.sum(0),
            "balanced_accuracy": by_class["recall"].mean(0),
        }
        for name, values in by_class.items():
            averages[f"macro_{name}"] = values.mean(0)
            averages[f"weighted_{name}"] = (share * values).sum(0)
        return averages

    def balanced_accuracy(self, weights: Array) -> Array:
        """Mean recall over the classes that have images."""
        return np.asarray(self.counts(weights).recall[self.present].mean(0))

    def influence(self, metric: str) -> Array:
        """float64 (n,): what each image contributes to a metric that may decide, its empirical influence value.

        For image i of class c, of n_c images, it is n_c times the derivative of the metric by the weight of i, but for
        a constant in each class. So the metric's variance over new test images of each class is the sum over the
        classes of the sample variance of their values / n_c (the infinitesimal jackknife; for areas under a curve the
        structural components of DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).
        """
        return np.asarray(getattr(self, f"_influence_on_{metric}")(), np.float64)

    def _influence_on_balanced_accuracy(self) -> Array:
        return np.asarray((self.p.predicted == self.p.labels) / max(int(self.present.sum()), 1))

    def _influence_on_macro_auc(self) -> Array:
        if self.present.sum() < 2:
            return np.full(len(self.p), np.nan)
        return np.asarray(np.mean([self._influence_on_area(*ranks) for ranks in self._ranks], axis=0))

    def _influence_on_area(self, positives: Array, negative: Array, below: Array, up_to: Array) -> Array:
        """On the area under one class's curve: of an image of the class the share of the others that it scores above;
        of another the share of the class that scores above it, times its class's share of the others."""
        n, negatives = len(self.p), len(negative)
        influence = np.zeros(n)
        influence[positives] = (below + up_to) / (2 * negatives)
        # the j-th of the others lies below a positive with below > j, and level with it where up_to > j >= below
        above = (np.bincount(below, minlength=negatives + 1) + np.bincount(up_to, minlength=negatives + 1)) / 2
        beaten = above[::-1].cumsum()[::-1][1:] / len(positives)
        class_sizes = np.bincount(self.p.labels, minlength=len(self.present))
        influence[negative] = beaten * class_sizes[self.p.labels[negative]] / negatives
        return influence

    def rarest_recall(self, weights: Array) -> Array:
        """Share of the rarest class that is taken for it; NaN where it has no image."""
        return np.asarray(self.counts(weights).recall[self._rare_index])

    def _influence_on_rarest_recall(self) -> Array:
        return np.where(self._is_rare, self.p.predicted == self.p.labels, 0.0)

    def rarest_auc(self, weights: Array) -> Array:
        """Area under the ROC curve of the rarest class against the others; NaN where either has no image."""
        if (ranks := self._rare_ranks) is None:
            return np.full(weights.shape[1], np.nan)
        class_weight, negative_weight = weights[ranks[0]].sum(0), weights[ranks[1]].sum(0)
        return np.asarray(_won(ranks, weights) / (class_weight * negative_weight))

    def rarest_average_precision(self, weights: Array) -> Array:
        """Average precision of the rarest class against the others: the sum over thresholds of the step in recall times
        the precision there, equal probabilities together (as in scikit-learn); NaN where the class has no image."""
        rows, is_rare, ends = self._rare_order
        drawn = weights[rows]
        hits = (drawn * is_rare[:, None]).cumsum(0, dtype=np.float64)[ends]
        taken = drawn.cumsum(0, dtype=np.float64)[ends]
        steps = np.diff(hits, axis=0, prepend=0.0)
        return ratio((steps * np.nan_to_num(ratio(hits, taken), nan=0.0)).sum(0), hits[-1])

    def rarest_recall_at_specificity(self, weights: Array) -> Array:
        """Share of the rarest class whose probability reaches the threshold; NaN without images or threshold."""
        drawn = weights[self._is_rare]
        return ratio((drawn * self._reaches_threshold[self._is_rare, None]).sum(0), drawn.sum(0))

    def _influence_on_rarest_auc(self) -> Array:
        return np.full(len(self.p), np.nan) if self._rare_ranks is None else self._influence_on_area(*self._rare_ranks)

    def _influence_on_rarest_average_precision(self) -> Array:
        rows, is_rare, ends = self._rare_order
        influence, total = np.zeros(len(rows)), is_rare.sum()
        if not total:
            return np.full(len(rows), np.nan)
        hits, taken = is_rare.cumsum()[ends].astype(np.float64), ends + 1.0
        steps, group = np.diff(hits, prepend=0.0), np.searchsorted(ends, np.arange(len(rows)))
        # an image counts among those taken at its own threshold and at all below it
        as_hit = (steps * (taken - hits) / taken**2)[::-1].cumsum()[::-1]
        as_alarm = (steps * hits / taken**2)[::-1].cumsum()[::-1]
        influence[rows] = np.where(is_rare, (hits / taken + as_hit)[group], -as_alarm[group]) / total
        return np.asarray(influence * np.bincount(self.p.labels)[self.p.labels])

    def _influence_on_rarest_recall_at_specificity(self) -> Array:
        return np.where(self._is_rare, self._reaches_threshold, 0.0)

    @cached_property
    def _is_rare(self) -> NDArray[np.bool_]:
        """(n,): images of the rarest class."""
        return np.asarray(self.p.labels == self._rare_index)

    @property
    def _rare_index(self) -> int:
        if self.rare is None:
            raise ValueError("metrics of the rarest class need to know which it is")
        return self.rare.index

    @property
    def _reaches_threshold(self) -> NDArray[np.float64]:
        """(n,): 1 for an image that is taken for the rarest class, else 0; NaN without a threshold."""
        if self.rare is None or self.rare.threshold is None:
            return np.full(len(self.p), np.nan)
        return (self.p.probabilities[:, self.rare.index] >= self.rare.threshold).astype(np.float64)

    @cached_property
    def _rare_ranks(self) -> Ranks | None:
        """The ranks of the rarest class; None where it or the others have no image."""
        c = self._rare_index
        return self._ranks_of(c) if self.present[c] and self.present.sum() > 1 else None

    @cached_property
    def _rare_order(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Images by falling probability of the rarest class, which of them are of it, and where a new probability would
        begin: the last of each that are level."""
        score = self.p.probabilities[:, self._rare_index]
        rows = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[rows]) != 0, True))
        return rows, self._is_rare[rows], ends

    def ece(self, weights: Array) -> Array:
        """Expected calibration error of the top label in 15 equal-width bins (Guo et al., 2017, equation 3):
        the mean over images of |mean confidence - share correct| of their bin, in [0, 1]."""
        gaps = self._gap.astype(weights.dtype) @ weights
        return np.asarray(np.abs(gaps).sum(0) / weights.sum(0))

    def brier(self, weights: Array) -> Array:
        """Mean over images of the sum over classes of (p - truth)^2, in [0, 2] (Brier, Monthly Weather Review 78,
        1950)."""
        p = self.p.probabilities.astype(np.float64)
        squares = (p**2).sum(1) - 2 * self._true_probability + 1
        return np.asarray(squares @ weights / weights.sum(0))

    def nll(self, weights: Array) -> Array:
        """Mean of -log p(true class), nats; a probability of 0 counts as 1.2e-38, or one image would decide alone."""
        return np.asarray(-np.log(np.clip(self._true_probability, LEAST_PROBABILITY, 1.0)) @ weights / weights.sum(0))

    @cached_property
    def _true_probability(self) -> NDArray[np.float64]:
        """(n,): of each image's class."""
        return np.asarray(self.p.probabilities[np.arange(len(self.p)), self.p.labels], np.float64)

    def macro_auc(self, weights: Array) -> Array:
        """Mean one-against-rest area under the ROC curve over the classes that have images and others beside them;
        NaN where there is none. Ties count one half (the Mann-Whitney form)."""
        if self.present.sum() < 2:
            return np.full(weights.shape[1], np.nan)
        many = weights.shape[1] > 1 and len(self.p) <= _PAIRED_UP_TO
        won = self._won_by_pairs(weights) if many else self._won_by_ranks(weights)
        class_weight = self._by_class(weights)
        areas = won / (class_weight * (class_weight.sum(0) - class_weight))
        return np.asarray(areas.mean(0))

    def _won_by_pairs(self, weights: Array) -> Array:
        """Weight of the pairs in which an image of the class scores above an image of another, (present, B): one
        product with a matrix of all pairs, fastest for up to some thousand images."""
        won = (self._pairs @ weights) * weights
        return self._by_class(won)

    def _won_by_ranks(self, weights: Array) -> Array:
        """The same by running sums over the sorted scores: for many images, or a single weighting."""
        return np.stack([_won(ranks, weights) for ranks in self._ranks])

    @cached_property
    def _pairs(self) -> NDArray[np.float32]:
        """(n, n): 1 where image i beats image j of another class in the probability of i's class, 1/2 where level."""
        labels = self.p.labels
        scores = self.p.probabilities[:, labels].T
        own_scores = scores.diagonal()[:, None]
        beats = (own_scores > scores).astype(np.float32) + 0.5 * (own_scores == scores).astype(np.float32)
        return np.asarray(np.where(labels[:, None] != labels, beats, 0), np.float32)

    @cached_property
    def _ranks(self) -> list[Ranks]:
        """Of each class that has images."""
        return [self._ranks_of(int(c)) for c in np.flatnonzero(self.present)]

    def _ranks_of(self, c: int) -> Ranks:
        score = self.p.probabilities[:, c]
        positives, negative = np.flatnonzero(self.p.labels == c), np.flatnonzero(self.p.labels != c)
        negative = negative[np.argsort(score[negative], kind="stable")]
        below = np.searchsorted(score[negative], score[positives], "left")
        up_to = np.searchsorted(score[negative], score[positives], "right")
        return positives, negative, below, up_to


def _won(ranks: Ranks, weights: Array) -> Array:
    """Weight of the pairs in which an image of the class scores above another, (B,); one half where they are level."""
    positives, negative, below, up_to = ranks
    passed = np.zeros((len(negative) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights[negative], axis=0, out=passed[1:])
    return np.asarray(np.einsum("ib,ib->b", weights[positives], passed[below] + passed[up_to]) / 2)


ENDPOINTS: dict[str, Callable[[Scorer, Array], Array]] = {
    name: getattr(Scorer, name) for name, metric in METRICS.items() if metric.may_decide and metric.needs != "attacks"
}
"""The metrics of predictions that may decide, in the order in which they are tested."""


def scorers_of(trainings: Sequence[Predictions], rare: Sequence[RareClass] | None = None) -> list[Scorer]:
    """One for each training; without `rare` they know no rarest class."""
    if rare is None:
        return [Scorer(p) for p in trainings]
    return [Scorer(p, of_training) for p, of_training in zip(trainings, rare, strict=True)]


def scores(p: Predictions, rare: RareClass | None = None) -> dict[str, float]:
    """Every metric of the catalogue, and precision, recall, F1 and support of each class.

    Names are those of `METRICS` and `class/<slug>/{precision,recall,f1,support}`. What is undefined is left out: a
    class without images, the precision of a class that was never predicted, the AUC where all images are of one
    class, figures of a rarest class that is not named, and everything where there is no image.
    """
    if not len(p):
        return {}
    scorer, ones = Scorer(p, rare), np.ones((len(p), 1))
    counts = scorer.counts(ones)
    values = {name: float(value[0]) for name, value in scorer.measure(ones, counts).items()}
    for c, name in enumerate(slugs(p.classes).values()):
        if scorer.present[c]:
            for metric in (*CLASS_METRICS, "support"):
                values[f"class/{name}/{metric}"] = float(getattr(counts, metric)[c, 0])
    return {name: value for name, value in values.items() if not np.isnan(value)}


def confusion(p: Predictions) -> NDArray[np.int64]:
    """int64 (C, C): images of class i (row) that were taken for class j (column)."""
    classes = len(p.classes)
    return np.bincount(p.labels * classes + p.predicted, minlength=classes**2).reshape(classes, classes)


def calibration(p: Predictions) -> NDArray[np.float64]:
    """float64 (3, 15): number of images, sum of confidences and number correct in each confidence bin."""
    bins, confidence, correct = top_label_bins(p)
    rows = [np.bincount(bins, weight, minlength=BINS) for weight in (None, confidence, correct)]
    return np.stack(rows).astype(np.float64)
