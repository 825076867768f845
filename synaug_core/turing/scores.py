"""How well people tell two kinds of images apart: accuracy, sensitivity, chance, agreement. Pure functions."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from synaug_core import frozen, seeds
from synaug_core.evaluate.proportions import binomial_p, wilson

__all__ = [
    "Score",
    "cohen_kappa",
    "effective_answers",
    "fleiss_kappa",
    "relabelling_p",
    "score",
    "sensitivity",
]

_DRAWS, _AT_ONCE = 10_000, 500
_NORMAL = NormalDist()

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


class Score(frozen.Frozen):
    """How well some answers tell synthetic from real. Shares lie in [0, 1]; None where undefined.

    Attributes:
        answers: how many.
        right: how many of them are.
        accuracy: their share, with the bounds `low` and `high` of its interval.
        p_value: two-sided, of an accuracy as far from 50 % by chance.
        hit_rate: share of the synthetic images that were called synthetic.
        false_alarm_rate: share of the real images that were called synthetic.
        d_prime: sensitivity; 0 is chance, 1 clearly better, negative: taken for each other.
        criterion: bias; above 0 people tended to say "real".
        seconds: median time of an answer.
    """

    answers: int
    right: int
    accuracy: float
    low: float
    high: float
    p_value: float
    hit_rate: float | None
    false_alarm_rate: float | None
    d_prime: float | None
    criterion: float | None
    seconds: float


def score(
    synthetic: Bools,
    called_synthetic: Bools,
    seconds: NDArray[np.float64],
    *,
    images: Integers | None = None,
    strata: Integers | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Score:
    """The figures of n answers.

    Where every image was answered once, the interval is Wilson's and p that of the exact binomial test. Answers of
    several people to one image are not independent: then the interval counts as many answers as they are worth
    (see `effective_answers`), and p is that of relabelling the images (see `relabelling_p`).

    Args:
        synthetic: bool (n,), what the images are; n >= 1.
        called_synthetic: bool (n,), whether they were called synthetic.
        seconds: float (n,), time of each answer.
        images: int64 (n,), which image; default: each answer is of an image of its own.
        strata: int64 (n,), the images' classes; default: one.
        confidence: of the interval.
        seed: of the relabelling.
    """
    n, is_right = len(called_synthetic), synthetic == called_synthetic
    k = int(is_right.sum())
    which = np.arange(n) if images is None else images
    repeated = len(np.unique(which)) < n
    if repeated:
        p_value = relabelling_p(
            synthetic, called_synthetic, which, np.zeros(n, np.int64) if strata is None else strata, seed
        )
    else:
        p_value = binomial_p(k, n)
    low, high = wilson(k / n, effective_answers(is_right, which) if repeated else n, confidence)
    fakes, hits = int(synthetic.sum()), int((called_synthetic & synthetic).sum())
    reals, alarms = n - fakes, int((called_synthetic & ~synthetic).sum())
    d_prime, criterion = sensitivity(hits, fakes, alarms, reals) if fakes and reals else (None, None)
    return Score(
        answers=n,
        right=k,
        accuracy=k / n,
        low=low,
        high=high,
        p_value=p_value,
        hit_rate=hits / fakes if fakes else None,
        false_alarm_rate=alarms / reals if reals else None,
        d_prime=d_prime,
        criterion=criterion,
        seconds=float(np.median(seconds)),
    )


def sensitivity(hits: int, synthetic: int, false_alarms: int, real: int) -> tuple[float, float]:
    """Sensitivity d' and criterion c of signal detection, "synthetic" being the signal.

    Half an answer is added to each count and one to each total, so that rates of 0 and 1 stay finite: the
    log-linear correction (Hautus 1995, Behavior Research Methods 27:46). d' = z(H) - z(F), c = -(z(H) + z(F)) / 2.
    """
    h = _NORMAL.inv_cdf((hits + 0.5) / (synthetic + 1))
    f = _NORMAL.inv_cdf((false_alarms + 0.5) / (real + 1))
    return h - f, -(h + f) / 2


def effective_answers(is_right: Bools, images: Integers) -> float:
    """How many independent answers n answers to fewer images are worth.

    n over the design effect: the variance of the share with images as clusters, over that of independent answers
    (Kish 1965, Survey Sampling); never less than 1. Where all are right or all wrong: the number of images.
    """
    n = len(is_right)
    share = float(is_right.mean())
    _, image_numbers = np.unique(images, return_inverse=True)
    size = np.bincount(image_numbers).astype(np.float64)
    if len(size) < 2 or share in (0.0, 1.0):
        return float(len(size))
    off = np.bincount(image_numbers, weights=is_right) - share * size
    variance = len(size) / (len(size) - 1) * float((off**2).sum()) / n**2
    return n / max(1.0, variance * n / (share * (1 - share)))


def relabelling_p(
    synthetic: Bools, called_synthetic: Bools, images: Integers, strata: Integers, seed: int = 0
) -> float:
    """Two-sided p of the number of right answers when it is chance alone which images are the synthetic ones.

    If nobody can tell the two kinds apart, the answers would be the same had other images of the class been the
    synthetic ones; so the labels are dealt out anew 10,000 times within each class. People who agree with each
    other, or who often say "real", do not make it smaller.

    Args:
        synthetic: bool (n,), the same for all answers to one image.
        called_synthetic: bool (n,).
        images: int64 (n,), which image.
        strata: int64 (n,), the image's class.
        seed: of the draws.
    """
    _, first, image_numbers = np.unique(images, return_index=True, return_inverse=True)
    truth, layer = synthetic[first], strata[first]
    lean = np.bincount(
        image_numbers, weights=np.where(called_synthetic, 1.0, -1.0)
    )  # a label moves the right answers by this much
    observed_sum, expected_sum = float(lean[truth].sum()), 0.0
    draws = np.zeros(_DRAWS)
    draw = np.random.default_rng(seeds.derive(seed, "turing", "relabelling"))
    for stratum in np.unique(layer):
        values, count = lean[layer == stratum], int(truth[layer == stratum].sum())
        expected_sum += float(values.mean()) * count
        for start in range(0, _DRAWS, _AT_ONCE):
            dealt = draw.permuted(np.broadcast_to(values, (_AT_ONCE, len(values))), axis=1)
            draws[start : start + _AT_ONCE] += dealt[:, :count].sum(1)
    as_far = int((np.abs(draws - expected_sum) >= abs(observed_sum - expected_sum) - 1e-9).sum())
    return (as_far + 1) / (_DRAWS + 1)


def cohen_kappa(first: Bools, second: Bools) -> float | None:
    """Agreement of two raters beyond chance (Cohen 1960); None where both said one and the same of all images.

    Args:
        first: bool (n,), what one rater said of n >= 1 images.
        second: bool (n,), what the other said of them.
    """
    agreed = float((first == second).mean())
    a, b = float(first.mean()), float(second.mean())
    by_chance = a * b + (1 - a) * (1 - b)
    return None if by_chance == 1.0 else (agreed - by_chance) / (1 - by_chance)


def fleiss_kappa(called_synthetic: Bools) -> float | None:
    """Agreement of two or more raters beyond chance (Fleiss 1971); None where all said the same of all images.

    Args:
        called_synthetic: bool (raters, n): what each of two or more raters said of n >= 1 images.
    """
    raters, yes = len(called_synthetic), called_synthetic.sum(0).astype(np.float64)
    no = raters - yes
    agreed = float(((yes * (yes - 1) + no * (no - 1)) / (raters * (raters - 1))).mean())
    share = float(called_synthetic.mean())
    by_chance = share**2 + (1 - share) ** 2
    return None if by_chance == 1.0 else (agreed - by_chance) / (1 - by_chance)
