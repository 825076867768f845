"""The arms on the same test images: the contrast that decides, the evidence beside it, the verdict."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from synaug_core.config import BEST, EvaluationConfig
from synaug_core.evaluate import predictions, proportions, reliability, results, scorer, variance
from synaug_core.evaluate.contest import Contest, Evidence
from synaug_core.evaluate.folds import check_folds, fold_intervals
from synaug_core.evaluate.intervals import Interval, check_same_images, intervals
from synaug_core.evaluate.operating import FEW, specificity_threshold
from synaug_core.evaluate.sentence import sentence
from synaug_core.metrics import METRICS, ROBUST
from synaug_core.seeds import derive

__all__ = ["compare"]

Trainings = Sequence[predictions.Predictions]


def compare(
    test: Mapping[str, Trainings],
    validation: Mapping[str, Sequence[float]],
    *,
    controls: Collection[str],
    positive_controls: Collection[str] = (),
    train_counts: Mapping[str, int],
    config: EvaluationConfig,
    seed: int,
    folds: int | None = None,
    validated: Mapping[str, Sequence[predictions.Predictions | None]] | None = None,
    attacked: Mapping[str, variance.Measured] | None = None,
) -> results.Comparison:
    """Compare the arms: metrics with intervals, contrasts and the verdict.

    One test decides, declared as `config.primary`: a named synthetic arm, or the one that did best on the validation
    images, on one metric, against *every* control. A gain is shown when, over at least 6 paired trainings, the interval
    of the difference lies above 0 for each of them, whose p-values need no adjustment (intersection-union). Second, in
    a fixed order, comes the same arm against `original`; it counts only where the first was shown. The further
    endpoints, the family of all synthetic arms and the steps of the waterfall stand beside them for information.

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
        validated: arm -> predictions of its trainings on their validation images, on which thresholds are set; without
            them there are no figures at a threshold.
        attacked: arm -> balanced accuracy under attack of all its trainings; without it there is no such figure.

    Raises:
        ValueError: no arm, an arm without predictions or validation score, different test images, folds that are
            none, or a declared arm that is not there or is a control.
    """
    _check(test, validation, {*controls, *positive_controls}, config, folds)
    first = next(iter(test.values()))
    classes = first[0].classes
    support = np.bincount(np.concatenate([p.labels for p in first[: folds or 1]]), minlength=len(classes)).tolist()
    test_counts = dict(zip(classes, support, strict=True))
    rarest = results.rarest(train_counts, test_counts)
    rare = {
        arm: _rare_classes(classes.index(rarest), (validated or {}).get(arm) or [None] * len(reps), config)
        for arm, reps in test.items()
    }
    arms = {
        arm: results.ArmResult(
            metrics=_metrics(reps, rare[arm], test_counts[rarest], config, derive(seed, "intervals"), folds)
            | _robust((attacked or {}).get(arm), config.confidence),
            confusion=tuple(tuple(row) for row in np.sum([scorer.confusion(p) for p in reps], axis=0).tolist()),
            calibration=reliability.ConfidenceBins.from_predictions(reps),
            validation=float(np.mean(validation[arm])),
            is_control=arm in controls,
            is_positive_control=arm in positive_controls,
            repetitions=len(reps),
        )
        for arm, reps in test.items()
    }
    synthetic = {a: r for a, r in arms.items() if not r.is_control and not r.is_positive_control}
    best_synthetic, best_control = _best(synthetic), _best({a: r for a, r in arms.items() if r.is_control})
    contest = Contest(test, rare, attacked or {}, arms, config, folds)
    rival = best_synthetic if config.primary.arm == BEST else config.primary.arm
    evidence = contest.evidence(rival) if contest.defines(config.primary.metric) else Evidence()
    deciding, level = next(iter(evidence.contrasts), None), 1 - config.confidence
    gain = deciding is not None and all(c.shows_gain(level) for c in (deciding, *evidence.against_controls))
    return results.Comparison(
        classes=classes,
        arms=arms,
        train_counts={c: train_counts.get(c, 0) for c in classes},
        test_counts=test_counts,
        rarest_class=rarest,
        confidence=config.confidence,
        best_arm=_best({a: r for a, r in arms.items() if not r.is_positive_control}) or next(iter(arms)),
        best_control=best_control,
        best_synthetic=best_synthetic,
        verdict="gain" if gain else "no gain shown",
        sentence=sentence(
            gain,
            deciding,
            len(contest.controls),
            rival,
            config.confidence,
            metric=config.primary.metric,
            folds=folds,
        ),
        folds=folds,
        primary=config.primary,
        **evidence._asdict(),
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


def _rare_classes(
    index: int, validated: Sequence[predictions.Predictions | None], config: EvaluationConfig
) -> list[scorer.RareClass]:
    """The rarest class of each training; with a threshold where every training has one."""
    thresholds = [specificity_threshold(p, index, config.specificity) for p in validated]
    if any(t is None for t in thresholds):
        thresholds = [None] * len(thresholds)
    return [scorer.RareClass(index, t) for t in thresholds]


def _metrics(
    reps: Trainings,
    rare: Sequence[scorer.RareClass],
    rare_images: int,
    config: EvaluationConfig,
    seed: int,
    folds: int | None,
) -> dict[str, Interval]:
    """Every metric with its interval. Those of the rarest class are no surer than so many different images allow: the
    bootstrap knows nothing of that where they are few, nor where all of them are found."""
    confidence = config.confidence
    if folds is None:
        by_name = intervals(reps, confidence=confidence, resamples=config.resamples, seed=seed, rare=rare)
    else:
        by_name = fold_intervals(reps, folds=folds, confidence=confidence, rare=rare)
    for name, metric in METRICS.items():
        few = metric.needs == "rarest" and rare_images < FEW
        if name in by_name and (few or metric.needs == "threshold"):
            by_name[name] = proportions.at_least_wilson(by_name[name], rare_images, confidence)
    return by_name


def _robust(attacked: variance.Measured | None, confidence: float) -> dict[str, Interval]:
    if attacked is None:
        return {}
    mean, pairs = float(attacked.values.mean()), len(attacked.values)
    interval, _ = variance.t_test(mean, attacked.spread(), pairs, confidence)
    return {ROBUST: Interval(mean=mean, low=max(0.0, interval.low), high=min(1.0, interval.high))}


def _best(arms: Mapping[str, results.ArmResult]) -> str | None:
    """Highest validation score; among equals a control, then the first."""
    return max(arms, key=lambda a: (arms[a].validation, arms[a].is_control), default=None)
