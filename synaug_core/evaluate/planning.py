"""What it would take to see a gain: planning figures from the paired differences of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.contrast import Pairs
from synaug_core.evaluate.folds import overlap
from synaug_core.evaluate.intervals import Finite
from synaug_core.evaluate.power import (
    POWER,
    Spread,
    corrected_t_power,
    detectable,
    images_needed,
    repetitions_needed,
    sign_flip_power,
)
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.resample import batches, stratified
from synaug_core.evaluate.scorer import Array
from synaug_core.frozen import Frozen

__all__ = ["Needed", "Power", "power_report"]

WISHED = (0.02, 0.05)


class Needed(Frozen):
    """What it would take to show one gain."""

    gain: Finite
    repetitions: int | None
    """Paired repetitions (of the whole cross-validation, if it is one) on as many test images as now; None: no number
    would do, for the test images are too few."""
    images: int | None
    """Test images of the same mix of classes, with as many repetitions as now; None: no number would do."""


class Power(Frozen):
    """Planning figures for the contrast that the verdict rests on; no part of the verdict. Differences are shares."""

    metric: str
    level: float
    power: float
    """Probability with which a gain of the size named is to be shown."""
    repetitions: int
    """Paired repetitions that there were (of the whole cross-validation, if it is one)."""
    folds: int | None
    images: int
    """Distinct test images."""
    sd: Finite
    """Standard deviation of the paired differences."""
    from_repetitions: Finite
    """Part of the standard error of the mean difference that more repetitions would shrink."""
    from_images: Finite
    """Part that only more test images would shrink; in cross-validation: that only other data would."""
    detectable: Finite | None
    """Smallest true gain that the present design shows with that probability; None: it can show none."""
    observed: Needed | None
    """For a true gain as large as the one seen; None where none was seen."""
    wished: tuple[Needed, ...]
    """For gains of 2 and 5 points."""


def power_report(
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
    metric: str,
    *,
    level: float,
    resamples: int,
    seed: int,
    folds: int | None = None,
) -> Power | None:
    """Planning figures from the paired differences seen; None for fewer than two pairs or pairs that never differ.

    The image parts of `Spread` come from a bootstrap over the test images within each class: the variance of one
    pair's difference estimates shared + crossed, that of the mean over J pairs shared + crossed / J. Folds have no
    image in common, so all of theirs is crossed; that more images also train better is left out, so that what folds
    would need is told too high rather than too low. The figures rest on an estimated variance: with six pairs they may
    be half or twice as large.

    Args:
        ours: predictions of one method's repetitions, or in the order repetition * folds + fold.
        theirs: those of the other, with the same images at each index.
        metric: `balanced_accuracy` or `macro_auc`.
        level: of the two-sided test.
        resamples: bootstrap resamples.
        seed: of the draws.
        folds: number of folds; None: all repetitions have the same test images.
    """
    pairs = Pairs(ours, theirs, metric)
    differences = pairs.plain()
    defined = np.flatnonzero(~np.isnan(differences))
    number = len(defined)
    if number < 2:
        return None
    single, mean = _image_variances(ours, pairs, defined, resamples, np.random.default_rng(seed), folds is None)
    spread = _spread(differences[defined], single, mean, 0.0 if folds is None else overlap(folds))
    if not spread.variance(number)[0]:
        return None
    finds = (sign_flip_power if folds is None else corrected_t_power)(spread, level)
    images = sum(len(p) for p in ours[: folds or 1])

    def needed(gain: float) -> Needed:
        return Needed(
            gain=gain,
            repetitions=repetitions_needed(gain, finds, folds=folds or 1),
            images=images_needed(gain, finds, number, images=images),
        )

    seen = float(differences[defined].mean())
    sampled = spread.training + spread.crossed
    return Power(
        metric=metric,
        level=level,
        power=POWER,
        repetitions=len(pairs) // (folds or 1),
        folds=folds,
        images=images,
        sd=sqrt(sampled),
        from_repetitions=sqrt(sampled / number),
        from_images=sqrt(spread.shared + sampled * spread.ratio),
        detectable=detectable(finds, number),
        observed=needed(seen) if seen > 0 else None,
        wished=tuple(needed(gain) for gain in WISHED),
    )


def _spread(differences: NDArray[np.float64], single: float, mean: float, ratio: float) -> Spread:
    number, total = len(differences), float(differences.var(ddof=1))
    crossed = max(0.0, (single - mean) * number / (number - 1))
    shared = 0.0 if ratio else max(0.0, mean - crossed / number)
    crossed = min(crossed, total)
    return Spread(training=total - crossed, crossed=crossed, shared=shared, ratio=ratio)


def _image_variances(
    ours: Sequence[Predictions],
    pairs: Pairs,
    defined: NDArray[np.int64],
    resamples: int,
    rng: np.random.Generator,
    same_images: bool,
) -> tuple[float, float]:
    """Bootstrap variance over test images of one pair's difference (mean over the pairs), and of their mean."""

    def drawn(members: NDArray[np.int64]) -> Array:
        labels = ours[members[0]].labels
        parts = []
        for size in batches(len(labels), resamples):
            weights = stratified(labels, size, rng, fewer=1)
            parts.append(np.stack([pairs.weighted(int(i), weights) for i in members]))
        return np.concatenate(parts, axis=1).astype(np.float64)

    each = drawn(defined) if same_images else np.concatenate([drawn(defined[[i]]) for i in range(len(defined))])
    return float(each.var(axis=1).mean()), float(each.mean(axis=0).var())
