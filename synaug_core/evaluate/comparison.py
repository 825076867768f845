"""The arms on the same test images: the contrast that decides, the evidence beside it, the verdict."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synaug_core.config import BEST, EvaluationConfig
from synaug_core.evaluate import predictions, proportions, reliability, results, scorer, variance
from synaug_core.evaluate.contrast import Contrast, contrast, hardest, holm
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
    positive_controls: Collection[str] = (),
    train_counts: Mapping[str, int],
    config: EvaluationConfig,
    seed: int,
    folds: int | None = None,
) -> results.Comparison:
    """Compare the arms: metrics with intervals, contrasts and the verdict.

    One test decides, declared as `config.primary`: a named synthetic arm, or the one that did best on the validation
    images, on one metric, against *every* control. A gain is shown when, over at least 6 paired trainings, the interval
    of the difference lies above 0 for each of them, whose p-values need no adjustment (intersection-union). The other
    endpoints are in a fixed order: each counts only where all before it were shown.

    One test part: intervals of single arms by the crossed bootstrap; differences by the t test on the variance's
    components (`variance.py`). `benchmarks/null_simulation.py` measures how often the rule errs, and what it finds.

    Cross-validation: means over all trainings, intervals and test by the corrected resampled t (`folds.py`). There
    an image that helps to choose the arm in one fold is a test image of another, so that the choice is not blind
    (the best of 20 against one control, without any effect, would "gain" in 9 % of cases). Where the arm is not
    named, its p-value is therefore Holm-adjusted over all synthetic arms.

    Args:
        test: arm -> predictions of its repetitions, all for the same images in the same order; with `folds`, of every
            fold of every repetition, at index repetition * folds + fold, each image once in every repetition.
        validation: arm -> balanced accuracy of its trainings on their validation images.
        controls: arms that a gain has to beat; the others are the synthetic arms.
        positive_controls: arms with real images in the synthetic ones' place: neither of the two.
        train_counts: class -> real training images.
        config: level, number of resamples, the declared contrast.
        seed: of every draw.
        folds: number of folds of the cross-validation; None: one test part.

    Raises:
        ValueError: no arm, an arm without predictions or validation score, different test images, folds that are
            none, or a declared arm that is not there or is a control.
    """
    _check(test, validation, {*controls, *positive_controls}, config, folds)
    first = next(iter(test.values()))
    arms = {
        arm: _result(
            reps,
            validation[arm],
            config,
            derive(seed, "intervals"),
            folds,
            is_control=arm in controls,
            is_positive_control=arm in positive_controls,
        )
        for arm, reps in test.items()
    }
    best_control = _best({a: r for a, r in arms.items() if r.is_control})
    synthetic = {a: r for a, r in arms.items() if not r.is_control and not r.is_positive_control}
    best_synthetic = _best(synthetic)
    primary, level = config.primary, 1 - config.confidence
    rival = best_synthetic if primary.arm == BEST else primary.arm
    named_controls = [arm for arm, result in arms.items() if result.is_control]
    evidence = Evidence()
    if best_control and rival and primary.metric in arms[best_control].metrics:
        endpoints = [metric for metric in scorer.ENDPOINTS if metric in arms[best_control].metrics]
        endpoints.sort(key=lambda metric: metric != primary.metric)
        contest = Contest(
            test,
            rival=rival,
            controls=named_controls,
            synthetic=list(synthetic),
            endpoints=endpoints,
            config=config,
            folds=folds,
        )
        evidence = judge_contest(contest)
    deciding = next(iter(evidence.contrasts), None)
    gain = deciding is not None and all(c.shows_gain(level) for c in (deciding, *evidence.against_controls))
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
        best_arm=_best({a: r for a, r in arms.items() if not r.is_positive_control}) or next(iter(arms)),
        best_control=best_control,
        best_synthetic=best_synthetic,
        contrasts=evidence.contrasts,
        against_controls=evidence.against_controls,
        family=evidence.family,
        verdict="gain" if gain else "no gain shown",
        sentence=sentence(
            gain,
            deciding,
            len(named_controls),
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
    config: EvaluationConfig,
    seed: int,
    folds: int | None,
    *,
    is_control: bool,
    is_positive_control: bool,
) -> results.ArmResult:
    return results.ArmResult(
        metrics=intervals(reps, confidence=config.confidence, resamples=config.resamples, seed=seed)
        if folds is None
        else fold_intervals(reps, folds=folds, confidence=config.confidence),
        confusion=tuple(tuple(row) for row in np.sum([scorer.confusion(p) for p in reps], axis=0).tolist()),
        calibration=reliability.ConfidenceBins.from_predictions(reps),
        validation=float(np.mean(validation)),
        is_control=is_control,
        is_positive_control=is_positive_control,
        repetitions=len(reps),
    )


def _best(arms: Mapping[str, results.ArmResult]) -> str | None:
    """Highest validation score; among equals a control, then the first."""
    return max(arms, key=lambda a: (arms[a].validation, arms[a].is_control), default=None)


class Evidence(NamedTuple):
    """What a verdict rests on, and what stands beside it; as in `Comparison`."""

    contrasts: tuple[Contrast, ...] = ()
    against_controls: tuple[Contrast, ...] = ()
    family: tuple[Contrast, ...] = ()
    mcnemar: tuple[proportions.Discordance, ...] = ()
    power: Power | None = None


class Contest:
    """Which arm is judged against which controls, and by what rules.

    Args:
        test: arm -> predictions, as in `compare`.
        rival: the arm to be judged, no control.
        controls: the arms that it has to beat, at least one.
        synthetic: all arms that could have been judged, in order; they make the family.
        endpoints: metrics; the declared one first.
        config: level, the declared contrast.
        folds: number of folds of the cross-validation; None: one test part.
    """

    def __init__(
        self,
        test: Mapping[str, Sequence[predictions.Predictions]],
        *,
        rival: str,
        controls: Sequence[str],
        synthetic: Sequence[str],
        endpoints: Sequence[str],
        config: EvaluationConfig,
        folds: int | None,
    ) -> None:
        self.test, self.rival, self.controls, self.synthetic = test, rival, controls, synthetic
        self.endpoints, self.config, self.folds = endpoints, config, folds
        self._measured: dict[tuple[str, str], variance.Measured] = {}

    @property
    def is_chosen_on_test_images(self) -> bool:
        """Whether test images had a part in the choice of the synthetic arm."""
        return self.folds is not None and self.config.primary.arm == BEST

    def measured(self, arm: str, metric: str) -> variance.Measured:
        """The metric of the arm's trainings."""
        if (arm, metric) not in self._measured:
            self._measured[arm, metric] = variance.measure(self.test[arm], metric)
        return self._measured[arm, metric]

    def contrast(self, arm: str, against: str, metric: str) -> Contrast:
        """One arm against another, p not adjusted."""
        pair, confidence = (self.measured(arm, metric), self.measured(against, metric)), self.config.confidence
        if self.folds is None:
            difference, p, pairs = contrast(*pair, metric, confidence)
        else:
            difference, p, pairs = fold_contrast(*pair, metric, folds=self.folds, confidence=confidence)
        return Contrast(
            arm=arm,
            against=against,
            metric=metric,
            difference=difference,
            p_value=p,
            p_adjusted=p,
            repetitions=pairs,
            test="components_t" if self.folds is None else "corrected_t",
        )

    def against_controls(self, arm: str, metric: str) -> tuple[Contrast, ...]:
        """One arm against each control."""
        return tuple(self.contrast(arm, control, metric) for control in self.controls)


def judge_contest(contest: Contest) -> Evidence:
    """Judge the arm on all endpoints, all synthetic arms on the declared one, and what a larger design would see."""
    first = contest.endpoints[0]
    by_arm = {arm: contest.against_controls(arm, first) for arm in contest.synthetic}
    hardest_of = {arm: hardest(contrasts) for arm, contrasts in by_arm.items()}
    adjusted_p = holm({arm: c.p_value for arm, c in hardest_of.items()})
    family = {arm: c.model_copy(update={"p_adjusted": adjusted_p[arm]}) for arm, c in hardest_of.items()}
    against_controls = by_arm[contest.rival]
    deciding = (family if contest.is_chosen_on_test_images else hardest_of)[contest.rival]
    later_endpoints = (hardest(contest.against_controls(contest.rival, metric)) for metric in contest.endpoints[1:])
    trainings, control_trainings = contest.test[contest.rival], contest.test[deciding.against]
    level = 1 - contest.config.confidence
    power = power_report(
        contest.measured(contest.rival, first).minus(contest.measured(deciding.against, first)),
        first,
        level=level / len(family) if contest.is_chosen_on_test_images else level,
        repetitions=min(len(trainings), len(control_trainings)) // (contest.folds or 1),
        folds=contest.folds,
    )
    mcnemar = proportions.discordances(trainings, control_trainings) if contest.folds is None else ()
    return Evidence((deciding, *later_endpoints), against_controls, tuple(family.values()), mcnemar, power)
