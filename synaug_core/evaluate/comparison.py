"""The comparison of all arms on one test set, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.contrast import Contrast, contrast, holm, needed_repetitions
from synaug_core.evaluate.intervals import Finite, Interval, check_same_images, intervals
from synaug_core.evaluate.metrics import calibration, confusion
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.scorer import ENDPOINTS
from synaug_core.evaluate.sentence import sentence
from synaug_core.names import slugs
from synaug_core.seeds import derive

__all__ = ["ArmResult", "Calibration", "Comparison", "Verdict", "compare"]

Verdict = Literal["gain", "no gain shown"]
PRIMARY = "balanced_accuracy"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Frozen):
    """15 equal-width bins of the top label's confidence, summed over repetitions."""

    images: tuple[int, ...]
    confidence: tuple[Finite, ...]
    """Sum of confidences."""
    correct: tuple[int, ...]


class ArmResult(_Frozen):
    """One arm on the test images."""

    metrics: dict[str, Interval]
    """Mean over repetitions with its interval; names as in `scores`."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes; summed over repetitions."""
    calibration: Calibration
    validation: Finite
    """Mean balanced accuracy on the validation images: what arms are chosen by."""
    is_control: bool
    """True without synthetic images."""
    repetitions: int


class Comparison(_Frozen):
    """All arms on one test set. Everything is computed from predictions."""

    classes: tuple[str, ...]
    arms: dict[str, ArmResult]
    train_counts: dict[str, int]
    """Real training images of each class."""
    test_counts: dict[str, int]
    rarest_class: str
    """Fewest real training images, among the classes that have test images."""
    confidence: float
    best_arm: str
    """Highest validation score of all arms; the test images have no part in it. So for the next two."""
    best_control: str | None
    best_synthetic: str | None
    contrasts: tuple[Contrast, ...]
    """Best synthetic arm against best control on the primary endpoints; the verdict rests on the first."""
    others: tuple[Contrast, ...]
    """Every synthetic arm against the best control in balanced accuracy, Holm-adjusted: for information."""
    verdict: Verdict
    sentence: str
    """What it means."""

    def slug(self, class_name: str) -> str:
        """The class's name inside metric names."""
        return slugs(self.classes)[class_name]

    @property
    def by_rarity(self) -> tuple[str, ...]:
        """Classes from the fewest training images to the most; equals in class order."""
        return tuple(sorted(self.classes, key=lambda c: self.train_counts.get(c, 0)))


def compare(
    test: Mapping[str, Sequence[Predictions]],
    validation: Mapping[str, Sequence[float]],
    *,
    controls: Collection[str],
    train_counts: Mapping[str, int],
    config: EvaluationConfig,
    seed: int,
) -> Comparison:
    """Judge the arms.

    A gain is shown when the synthetic arm that did best on the validation images beats the control that did best
    there: over at least 6 paired repetitions, the interval of the difference in balanced accuracy lies above 0
    and the sign-flip test reaches the level. That is one test, picked without the test images; macro-AUC is
    second in a fixed order and needs no adjustment either. In simulations without any effect the rule says
    "gain" in 2 % of cases or fewer, also when the best of eight synthetic arms is picked against four controls.

    Args:
        test: arm -> predictions of its repetitions, all for the same images in the same order.
        validation: arm -> balanced accuracy of its repetitions on the validation images.
        controls: arms without synthetic images.
        train_counts: class -> real training images.
        config: level and number of resamples.
        seed: of every draw.

    Raises:
        ValueError: no arm, an arm without repetitions or validation score, or different test images.
    """
    if not test:
        raise ValueError("at least one arm is needed")
    for arm, reps in test.items():
        if not reps or not len(validation.get(arm, ())):
            raise ValueError(f"arm {arm}: predictions and validation scores are needed")
    check_same_images([p for reps in test.values() for p in reps])
    first = next(iter(test.values()))[0]
    arms = {
        arm: _result(reps, validation[arm], arm in controls, config, derive(seed, "intervals"))
        for arm, reps in test.items()
    }
    best_control = _best({a: r for a, r in arms.items() if r.is_control})
    best_synthetic = _best({a: r for a, r in arms.items() if not r.is_control})
    contrasts: tuple[Contrast, ...] = ()
    others: tuple[Contrast, ...] = ()
    if best_control and best_synthetic:
        contrasts, others = _contrasts(test, arms, best_synthetic, best_control, config, derive(seed, "contrasts"))
    support = np.bincount(first.labels, minlength=len(first.classes)).tolist()
    test_counts = dict(zip(first.classes, support, strict=True))
    tested = [c for c in first.classes if test_counts[c]]
    level = 1 - config.confidence
    gain = bool(contrasts) and _is_gain(contrasts[0], level)
    return Comparison(
        classes=first.classes,
        arms=arms,
        train_counts={c: train_counts.get(c, 0) for c in first.classes},
        test_counts=test_counts,
        rarest_class=min(tested, key=lambda c: train_counts.get(c, 0)),
        confidence=config.confidence,
        best_arm=_best(arms) or next(iter(arms)),
        best_control=best_control,
        best_synthetic=best_synthetic,
        contrasts=contrasts,
        others=others,
        verdict="gain" if gain else "no gain shown",
        sentence=sentence(gain, contrasts[0] if contrasts else None, best_control, best_synthetic, config.confidence),
    )


def _result(
    reps: Sequence[Predictions], validation: Sequence[float], is_control: bool, config: EvaluationConfig, seed: int
) -> ArmResult:
    images, confidence, correct = np.sum([calibration(p) for p in reps], axis=0)
    return ArmResult(
        metrics=intervals(reps, confidence=config.confidence, resamples=config.resamples, seed=seed),
        confusion=tuple(tuple(row) for row in np.sum([confusion(p) for p in reps], axis=0).tolist()),
        calibration=Calibration(
            images=tuple(int(v) for v in images),
            confidence=tuple(float(v) for v in confidence),
            correct=tuple(int(v) for v in correct),
        ),
        validation=float(np.mean(validation)),
        is_control=is_control,
        repetitions=len(reps),
    )


def _best(arms: Mapping[str, ArmResult]) -> str | None:
    """Highest validation score; among equals a control, then the first."""
    return max(arms, key=lambda a: (arms[a].validation, arms[a].is_control), default=None)


def _contrasts(
    test: Mapping[str, Sequence[Predictions]],
    arms: Mapping[str, ArmResult],
    best: str,
    against: str,
    config: EvaluationConfig,
    seed: int,
) -> tuple[tuple[Contrast, ...], tuple[Contrast, ...]]:
    """The best synthetic arm on the primary endpoints, and all synthetic arms on the first, as one family."""
    rivals = [arm for arm, result in arms.items() if not result.is_control]
    endpoints = [metric for metric in ENDPOINTS if metric in arms[against].metrics]

    def judge(arm: str, metric: str) -> Contrast:
        difference, p, pairs = contrast(
            test[arm], test[against], metric, confidence=config.confidence, resamples=config.resamples, seed=seed
        )
        return Contrast(
            arm=arm,
            against=against,
            metric=metric,
            difference=difference,
            p_value=p,
            p_adjusted=p,
            repetitions=pairs,
        )

    contrasts = tuple(judge(best, metric) for metric in endpoints)
    family = {arm: contrasts[0] if arm == best else judge(arm, PRIMARY) for arm in rivals}
    adjusted = holm({arm: c.p_value for arm, c in family.items()})
    return contrasts, tuple(c.model_copy(update={"p_adjusted": adjusted[arm]}) for arm, c in family.items())


def _is_gain(c: Contrast, level: float) -> bool:
    return c.repetitions >= needed_repetitions(level) and c.difference.low > 0 and c.p_adjusted < level
