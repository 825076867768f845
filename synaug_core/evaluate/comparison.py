"""The arms on the same test images: the contrast that decides, the evidence beside it, the verdict."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synaug_core.config import BEST, EvaluationConfig
from synaug_core.evaluate import predictions, proportions, reliability, results, scorer
from synaug_core.evaluate.contrast import LEAST, Contrast, contrast, holm, needed_repetitions
from synaug_core.evaluate.folds import check_folds, fold_contrast, fold_intervals
from synaug_core.evaluate.intervals import check_same_images, intervals
from synaug_core.evaluate.power import Power, power_report
from synaug_core.evaluate.sentence import sentence
from synaug_core.seeds import derive

__all__ = ["Contest", "Evidence", "compare", "judge_contest"]


def compare(
    test: Mapping[str, Sequence[predictions.Predictions]],
    validation: Mapping[str, Sequence[float]],
    *,
    controls: Collection[str],
    train_counts: Mapping[str, int],
    config: EvaluationConfig,
    seed: int,
    folds: int | None = None,
) -> results.Comparison:
    """Compare the arms: metrics with intervals, contrasts and the verdict.

    One contrast decides, declared as `config.primary`: a named synthetic arm, or the one that did best on the
    validation images, against the control that did best there, on one metric. A gain is shown when, over at least 6
    paired trainings, the interval of the difference lies above 0 and the test reaches the level. The other endpoint
    is second in a fixed order and needs no adjustment either.

    One test part: intervals by the crossed bootstrap, the exact sign-flip test over the repetitions. In simulations
    without any effect the rule says "gain" in 2 % of cases or fewer, also when the best of eight synthetic arms is
    picked against four controls.

    Cross-validation: means over all trainings, intervals and test by the corrected resampled t (`folds.py`). There
    an image that helps to choose the arm in one fold is a test image of another, so that the choice is not blind
    (the best of 20 against one control, without any effect, would "gain" in 9 % of cases). Where the arm is not
    named, its p-value is therefore Holm-adjusted over all synthetic arms.

    Args:
        test: arm -> predictions of its repetitions, all for the same images in the same order; with `folds`, of every
            fold of every repetition, at index repetition * folds + fold, each image once in every repetition.
        validation: arm -> balanced accuracy of its trainings on their validation images.
        controls: arms that a gain has to beat; the others are the synthetic arms.
        train_counts: class -> real training images.
        config: level, number of resamples, the declared contrast.
        seed: of every draw.
        folds: number of folds of the cross-validation; None: one test part.

    Raises:
        ValueError: no arm, an arm without predictions or validation score, different test images, folds that are
            none, or a declared arm that is not there or is a control.
    """
    _check(test, validation, controls, config, folds)
    first = next(iter(test.values()))
    arms = {
        arm: _result(reps, validation[arm], arm in controls, config, derive(seed, "intervals"), folds)
        for arm, reps in test.items()
    }
    best_control = _best({a: r for a, r in arms.items() if r.is_control})
    best_synthetic = _best({a: r for a, r in arms.items() if not r.is_control})
    primary = config.primary
    rival = best_synthetic if primary.arm == BEST else primary.arm
    evidence = Evidence()
    if best_control and rival and primary.metric in arms[best_control].metrics:
        synthetic = [arm for arm, result in arms.items() if not result.is_control]
        endpoints = [metric for metric in scorer.ENDPOINTS if metric in arms[best_control].metrics]
        endpoints.sort(key=lambda metric: metric != primary.metric)
        evidence = judge_contest(Contest(test, rival, best_control, synthetic, endpoints, config, seed, folds))
    deciding = next(iter(evidence.contrasts), None)
    gain = deciding is not None and _is_gain(deciding, 1 - config.confidence)
    labels = np.concatenate([p.labels for p in first[: folds or 1]])
    support = np.bincount(labels, minlength=len(first[0].classes)).tolist()
    test_counts = dict(zip(first[0].classes, support, strict=True))
    tested_classes = [c for c in first[0].classes if test_counts[c]]
    return results.Comparison(
        classes=first[0].classes,
        arms=arms,
        train_counts={c: train_counts.get(c, 0) for c in first[0].classes},
        test_counts=test_counts,
        rarest_class=results.by_rarity(tested_classes, train_counts, test_counts)[0],
        confidence=config.confidence,
        best_arm=_best(arms) or next(iter(arms)),
        best_control=best_control,
        best_synthetic=best_synthetic,
        contrasts=evidence.contrasts,
        family=evidence.family,
        verdict="gain" if gain else "no gain shown",
        sentence=sentence(
            gain,
            deciding,
            best_control,
            rival,
            config.confidence,
            metric=primary.metric,
            folds=folds,
        ),
        folds=folds,
        primary=primary,
        mcnemar=evidence.mcnemar,
        power=evidence.power,
    )


def _check(
    test: Mapping[str, Sequence[predictions.Predictions]],
    validation: Mapping[str, Sequence[float]],
    controls: Collection[str],
    config: EvaluationConfig,
    folds: int | None,
) -> None:
    if not test:
        raise ValueError("at least one arm is needed")
    for arm, reps in test.items():
        if not reps or not len(validation.get(arm, ())):
            raise ValueError(f"arm {arm}: predictions and validation scores are needed")
    if (arm := config.primary.arm) != BEST and (arm not in test or arm in controls):
        obstacle = "is a control" if arm in test else "is not compared"
        raise ValueError(f"evaluation.primary.arm: {arm} {obstacle}; name an arm that is no control, or {BEST}")
    if folds is None:
        check_same_images([p for reps in test.values() for p in reps])
    else:
        check_folds(test, folds)


def _result(
    reps: Sequence[predictions.Predictions],
    validation: Sequence[float],
    is_control: bool,
    config: EvaluationConfig,
    seed: int,
    folds: int | None,
) -> results.ArmResult:
    return results.ArmResult(
        metrics=intervals(reps, confidence=config.confidence, resamples=config.resamples, seed=seed)
        if folds is None
        else fold_intervals(reps, folds=folds, confidence=config.confidence),
        confusion=tuple(tuple(row) for row in np.sum([scorer.confusion(p) for p in reps], axis=0).tolist()),
        calibration=reliability.ConfidenceBins.from_predictions(reps),
        validation=float(np.mean(validation)),
        is_control=is_control,
        repetitions=len(reps),
    )


def _best(arms: Mapping[str, results.ArmResult]) -> str | None:
    """Highest validation score; among equals a control, then the first."""
    return max(arms, key=lambda a: (arms[a].validation, arms[a].is_control), default=None)


def _is_gain(c: Contrast, level: float) -> bool:
    repetitions = needed_repetitions(level) if c.test == "sign_flip" else LEAST
    return c.repetitions >= repetitions and c.difference.low > 0 and c.p_adjusted < level


class Evidence(NamedTuple):
    """Contrasts and McNemar tests of the judged arm; as in `Comparison`."""

    contrasts: tuple[Contrast, ...] = ()
    family: tuple[Contrast, ...] = ()
    mcnemar: tuple[proportions.Discordance, ...] = ()
    power: Power | None = None


class Contest(NamedTuple):
    """Which arm is judged against which control, and by what rules.

    Attributes:
        test: arm -> predictions, as in `compare`.
        rival: the arm to be judged, no control.
        against: the control it has to beat.
        synthetic: all arms that are no controls, in order; they make the family.
        endpoints: metrics; the declared one first.
        config: level, number of resamples, the declared contrast.
        seed: of every draw.
        folds: number of folds of the cross-validation; None: one test part.
    """

    test: Mapping[str, Sequence[predictions.Predictions]]
    rival: str
    against: str
    synthetic: Sequence[str]
    endpoints: Sequence[str]
    config: EvaluationConfig
    seed: int
    folds: int | None

    @property
    def is_chosen_on_test_images(self) -> bool:
        """Whether test images had a part in the choice of the synthetic arm."""
        return self.folds is not None and self.config.primary.arm == BEST


def judge_contest(contest: Contest) -> Evidence:
    """Judge the arm on all endpoints, all synthetic arms on the declared one, and what a larger design would see."""
    contrasts, family = _contrasts(contest)
    arm_predictions, control_predictions = contest.test[contest.rival], contest.test[contest.against]
    level = 1 - contest.config.confidence
    power = power_report(
        arm_predictions,
        control_predictions,
        contest.config.primary.metric,
        level=level / len(family) if contest.is_chosen_on_test_images else level,
        resamples=contest.config.resamples,
        seed=derive(contest.seed, "power"),
        folds=contest.folds,
    )
    mcnemar = proportions.discordances(arm_predictions, control_predictions) if contest.folds is None else ()
    return Evidence(contrasts, family, mcnemar, power)


def _contrasts(contest: Contest) -> tuple[tuple[Contrast, ...], tuple[Contrast, ...]]:
    """The arm to be judged on the endpoints in their order, and all synthetic arms on the first, as one family."""
    contrasts = tuple(_contrast(contest, contest.rival, metric) for metric in contest.endpoints)
    family = {
        arm: contrasts[0] if arm == contest.rival else _contrast(contest, arm, contest.endpoints[0])
        for arm in contest.synthetic
    }
    adjusted_p = holm({arm: c.p_value for arm, c in family.items()})
    family_contrasts = {arm: c.model_copy(update={"p_adjusted": adjusted_p[arm]}) for arm, c in family.items()}
    if contest.is_chosen_on_test_images:
        contrasts = (family_contrasts[contest.rival], *contrasts[1:])
    return contrasts, tuple(family_contrasts.values())


def _contrast(contest: Contest, arm: str, metric: str) -> Contrast:
    arm_predictions, control_predictions = contest.test[arm], contest.test[contest.against]
    confidence = contest.config.confidence
    if contest.folds is None:
        seed = derive(contest.seed, "contrasts")
        resamples = contest.config.resamples
        result = contrast(
            arm_predictions, control_predictions, metric, confidence=confidence, resamples=resamples, seed=seed
        )
    else:
        result = fold_contrast(arm_predictions, control_predictions, metric, folds=contest.folds, confidence=confidence)
    difference, p, pairs = result
    return Contrast(
        arm=arm,
        against=contest.against,
        metric=metric,
        difference=difference,
        p_value=p,
        p_adjusted=p,
        repetitions=pairs,
        test="sign_flip" if contest.folds is None else "corrected_t",
    )
