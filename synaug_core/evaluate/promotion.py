"""The gate between a challenger and the champion."""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from math import ceil, hypot
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from synaug_core.config import PromotionConfig
from synaug_core.evaluate import intervals, predictions, proportions, results, scorer, sentence
from synaug_core.frozen import Frozen

__all__ = ["Decision", "Figures", "gate", "spent_confidence"]

_ROUNDING = 1e-9
_IN_TAIL = 20
"""Resamples that should lie beyond a bound."""


_ENDS = {"": "mean", "/low": "low", "/high": "high"}


class Figures(Frozen):
    """Both models on the same test images. Shares in [0, 1]; differences are challenger minus champion."""

    images: int
    ids_sha256: str
    """Digest of the sorted names of the images compared."""
    champion_balanced_accuracy: float
    challenger_balanced_accuracy: float
    balanced_accuracy: intervals.Interval
    rarest_classes: tuple[str, ...]
    rarest_images: int
    champion_rarest_recall: float
    challenger_rarest_recall: float
    """Mean recall over the rarest classes."""
    rarest_recall: intervals.Interval
    only_challenger_right: int
    only_champion_right: int
    mcnemar_p: Annotated[float, Field(ge=0, le=1)]
    """Exact McNemar test over all images; a figure to read, no part of the rule."""


class Decision(Frozen):
    """Whether the challenger becomes champion, and why."""

    promoted: bool
    reason: str
    tolerance: float
    confidence: float
    figures: Figures | None = None
    """None where there was nothing to compare."""
    comparisons: Annotated[int, Field(ge=1)] = 1
    """Comparisons with this champion on these test images so far, this one included."""
    rarest_confidence: float | None = None
    """Level of the interval on the rarest classes, after what earlier looks have spent; None: `confidence`."""
    first: intervals.Interval | None = None
    """Balanced accuracy of a model that had no champion before it."""
    chance: float | None = None
    """What guessing would come to; None where there was a champion."""

    @property
    def is_worse(self) -> bool:
        """Whether the challenger's balanced accuracy is below the champion's by more than the tolerance."""
        return self.figures is not None and _is_worse(self.figures, self.tolerance)

    def metrics(self) -> dict[str, float]:
        """The figures as flat numbers; differences with `/low` and `/high`."""
        numbers: dict[str, float] = {}
        if self.first is not None:
            numbers = {f"balanced_accuracy{end}": getattr(self.first, part) for end, part in _ENDS.items()}
        if self.figures is None:
            return numbers
        for name, value in self.figures:
            if isinstance(value, intervals.Interval):
                key = f"difference/{name}"
                numbers |= {key: value.mean, f"{key}/low": value.low, f"{key}/high": value.high}
            elif isinstance(value, (int, float)):
                numbers[name] = float(value)
        return numbers


def gate(
    challenger: predictions.Predictions,
    champion: predictions.Predictions | None,
    *,
    train_counts: Mapping[str, int],
    config: PromotionConfig,
    confidence: float,
    resamples: int,
    seed: int,
    obstacle: str | None = None,
    excluded: Set[str] = frozenset(),
    comparisons: int = 1,
) -> Decision:
    """Decide: no worse than the champion overall, and better on the rarest classes, on the same test images.

    "No worse" asks the *estimate* of the difference in balanced accuracy to be at least -tolerance. Asking it of
    the interval's lower bound would refuse nearly everything: on a few hundred images the interval is several
    points wide, a tolerance is one. "Better" asks the *lower bound* of the difference in mean recall on the
    `rarest` classes to lie above 0: that is what a promotion claims, so there the interval decides. Both come
    from a paired bootstrap stratified by class; on the rarest classes each class gets two imaginary images, one
    for each side, so that two or three lucky images do not make a champion (Bonett and Price, British Journal
    of Mathematical and Statistical Psychology 65, 2012). A model that has a class without test images is not promoted,
    and a first one only where the interval of its balanced accuracy lies above what guessing comes to.

    Who looks often enough at one set of test images finds a challenger that is better there by chance. The looks at one
    champion on the same images therefore share the level: see `spent_confidence`.

    Args:
        challenger: predictions of the new model.
        champion: those of the model in place for the same test images, in any order; None: there is none yet.
        train_counts: class -> real training images.
        config: tolerance and number of rarest classes.
        confidence: level of the intervals.
        resamples: number of bootstrap resamples.
        seed: of the draws.
        obstacle: why the champion could not predict these test images at all; then nothing is promoted.
        excluded: test images that the champion was trained or tuned on; the two are compared on the others alone.
        comparisons: comparisons with this champion on these test images so far, this one included.
    """
    rarest_confidence = spent_confidence(confidence, comparisons)

    def decide(promoted: bool, reason: str, figures: Figures | None = None, **further: Any) -> Decision:
        return Decision(
            promoted=promoted,
            reason=reason,
            tolerance=config.tolerance,
            confidence=confidence,
            figures=figures,
            comparisons=comparisons,
            rarest_confidence=rarest_confidence if figures is not None else None,
            **further,
        )

    if not config.enabled:
        return decide(False, "Not promoted: promotion is switched off (promotion.enabled).")
    if obstacle is not None:
        return decide(False, f"Not promoted: {obstacle}.")
    untested = _untested(challenger)
    if champion is None and untested:
        return decide(False, f"Not promoted: {untested}.")
    if champion is None:
        if not len(challenger):
            return decide(False, "Not promoted: there are no test images to judge it on.")
        return _first(challenger, confidence, decide)
    if difference := _obstacle(challenger, champion):
        return decide(False, f"Not promoted: {difference}.")
    champion = champion.in_order(challenger.ids)
    if not np.array_equal(challenger.labels, champion.labels):
        return decide(False, "Not promoted: the test images' labels have changed since the champion was measured.")
    counts = _test_counts(challenger)
    total = len(challenger)
    fresh = tuple(name for name in challenger.ids if name not in excluded)
    seen_classes = set(np.unique(challenger.labels)) - set(np.unique(challenger.in_order(fresh).labels))
    if seen_classes:
        names = ", ".join(challenger.classes[i] for i in sorted(seen_classes))
        return decide(False, f"Not promoted: the champion was trained on all of today's test images of {names}.")
    challenger, champion = challenger.in_order(fresh), champion.in_order(fresh)
    tested_classes = [name for name, count in counts.items() if count]
    rarest = [
        challenger.classes.index(c) for c in results.by_rarity(tested_classes, train_counts, counts)[: config.rarest]
    ]
    levels = confidence, rarest_confidence
    figures = _figures(challenger, champion, rarest, levels, resamples, np.random.default_rng(seed))
    if np.array_equal(challenger.probabilities, champion.probabilities):
        return decide(False, "Not promoted: it predicts exactly what the champion predicts.", figures)
    overall, rare = figures.balanced_accuracy, figures.rarest_recall
    worse = _is_worse(figures, config.tolerance)
    gains_rare = rare.low > 0
    level, rare_level = (sentence.percent_text(round(share, 6)) for share in levels)
    names = ", ".join(figures.rarest_classes)
    said_overall = (
        f"balanced accuracy {sentence.points(overall.mean)} points ({level} interval {sentence.points(overall.low)} to "
        f"{sentence.points(overall.high)}; tolerance {100 * config.tolerance:.1f} points)"
    )
    said_rare = (
        f"recall on {names} {sentence.points(rare.mean)} points ({rare_level} interval {sentence.points(rare.low)} to "
        f"{sentence.points(rare.high)}, {figures.rarest_images} test images"
        f"{f'; comparison {comparisons} with this champion on these images' * (comparisons > 1)})"
    )
    left_out = ""
    if len(fresh) < total:
        left_out = f" Compared on {len(fresh)} of {total} test images: the champion was trained on the others."
    if gains_rare and not worse and not untested:
        reason = f"Promoted: no worse overall, {said_overall}; better where it counts, {said_rare}.{left_out}"
        return decide(True, reason, figures)
    reasons = [f"worse overall, {said_overall}"] * worse
    reasons += [f"no improvement shown on the rarest classes, {said_rare}"] * (not gains_rare)
    reasons += [untested] * bool(untested)
    return decide(False, f"Not promoted: {'; '.join(reasons)}.{left_out}", figures)


def _is_worse(figures: Figures, tolerance: float) -> bool:
    return figures.balanced_accuracy.mean < -tolerance - _ROUNDING


def spent_confidence(confidence: float, comparisons: int) -> float:
    """Level of the two-sided interval at the k-th look, whose lower bound errs with probability a / (k (k + 1)).

    With a = 1 - confidence these add up to a, however many looks there are (Bonferroni with falling shares: Lan and
    DeMets' alpha spending for looks of which nobody knows how many will come, Biometrika 70, 1983). The first is the
    usual interval, whose lower bound errs with a / 2.
    """
    return 1 - 2 * (1 - confidence) / (comparisons * (comparisons + 1))


def _first(challenger: predictions.Predictions, confidence: float, decide: Callable[..., Decision]) -> Decision:
    """The first model is promoted where it is better than guessing.

    Bounds: Wilson's for the recall of each class, joined for their mean as if the classes were independent, which they
    are (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    recalls, below, above = [], 0.0, 0.0
    for label in np.unique(challenger.labels):
        is_right = (challenger.predicted == challenger.labels)[challenger.labels == label]
        recalls.append(share := float(is_right.mean()))
        low, high = proportions.wilson(share, len(is_right), confidence)
        below, above = hypot(below, share - low), hypot(above, high - share)
    mean, chance = float(np.mean(recalls)), 1 / len(recalls)
    interval = intervals.Interval(mean=mean, low=mean - below / len(recalls), high=mean + above / len(recalls))
    figure = (
        f"its balanced accuracy is {100 * mean:.1f} % ({sentence.percent_text(confidence)} interval "
        f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %), and guessing comes to {100 * chance:.1f} %"
    )
    if interval.low <= chance + _ROUNDING:
        reason = f"Not promoted: it is not shown to be better than guessing: {figure}."
        return decide(False, reason, first=interval, chance=chance)
    reason = f"Promoted: it is the first model, there is no champion to compare with; {figure}."
    return decide(True, reason, first=interval, chance=chance)


def _test_counts(test: predictions.Predictions) -> dict[str, int]:
    images = np.bincount(test.labels, minlength=len(test.classes)).tolist()
    return dict(zip(test.classes, images, strict=True))


def _untested(challenger: predictions.Predictions) -> str:
    """Why nobody should rely on the model unseen, if so: nothing is known of a class. Empty where all were tested."""
    none = ", ".join(name for name, images in _test_counts(challenger).items() if not images)
    return none and f"there are no test images of {none}; promote by hand if that is meant"


def _obstacle(challenger: predictions.Predictions, champion: predictions.Predictions) -> str | None:
    """Why the two cannot be compared, if so; the labels are not looked at."""
    if not len(challenger):
        return "there are no test images to compare on"
    if challenger.classes != champion.classes:
        return "it knows other classes than the champion does"
    challenger_ids, champion_ids = set(challenger.ids), set(champion.ids)
    if challenger_ids != champion_ids:
        return (
            f"the two were not measured on the same test images ({len(challenger_ids & champion_ids)} in common, "
            f"{len(challenger_ids - champion_ids)} only the challenger's, "
            f"{len(champion_ids - challenger_ids)} only the champion's)"
        )
    return None


def _figures(
    challenger: predictions.Predictions,
    champion: predictions.Predictions,
    rarest: Sequence[int],
    levels: tuple[float, float],
    resamples: int,
    rng: np.random.Generator,
) -> Figures:
    labels = challenger.labels
    challenger_scorer, champion_scorer = scorer.Scorer(challenger), scorer.Scorer(champion)
    unit_weights = np.ones((len(labels), 1))
    challenger_accuracy, champion_accuracy = (
        float(s.balanced_accuracy(unit_weights)[0]) for s in (challenger_scorer, champion_scorer)
    )
    resampled = np.concatenate(
        [
            challenger_scorer.balanced_accuracy(w) - champion_scorer.balanced_accuracy(w)
            for w in (
                intervals.draw_stratified(labels, size, rng) for size in intervals.batch_sizes(len(labels), resamples)
            )
        ]
    )
    challenger_recall, champion_recall = (
        float(s.counts(unit_weights).recall[rarest, 0].mean()) for s in (challenger_scorer, champion_scorer)
    )
    (pair,) = proportions.discordances([challenger], [champion])
    challenger_right, champion_right = ((p.predicted == labels).astype(np.float32) for p in (challenger, champion))
    wins = challenger_right - champion_right
    confidence, rarest_confidence = levels
    enough = max(resamples, ceil(2 * _IN_TAIL / (1 - rarest_confidence)))
    rare = np.mean([_padded(wins[labels == c], enough, rng) for c in rarest], axis=0)
    return Figures(
        images=len(labels),
        ids_sha256=hashlib.sha256("\n".join(sorted(challenger.ids)).encode()).hexdigest(),
        champion_balanced_accuracy=champion_accuracy,
        challenger_balanced_accuracy=challenger_accuracy,
        balanced_accuracy=intervals.bounds(challenger_accuracy - champion_accuracy, resampled, confidence),
        rarest_classes=tuple(challenger.classes[c] for c in rarest),
        rarest_images=int(np.isin(labels, rarest).sum()),
        champion_rarest_recall=champion_recall,
        challenger_rarest_recall=challenger_recall,
        rarest_recall=intervals.bounds(challenger_recall - champion_recall, rare, rarest_confidence),
        only_challenger_right=pair.only_arm_right,
        only_champion_right=pair.only_against_right,
        mcnemar_p=pair.p_value,
    )


def _padded(wins: NDArray[np.float32], resamples: int, rng: np.random.Generator) -> scorer.Array:
    """Mean win (+1, 0, -1) of one class in each resample, with an imaginary win and loss among what is drawn."""
    pool = np.append(wins, [1.0, -1.0]).astype(np.float32)
    labels = np.zeros(len(pool), np.int64)
    parts = [
        pool @ intervals.draw_stratified(labels, size, rng) / len(pool)
        for size in intervals.batch_sizes(len(pool), resamples)
    ]
    return np.concatenate(parts)
