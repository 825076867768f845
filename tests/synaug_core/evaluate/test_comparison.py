import itertools

import numpy as np
import pytest

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.results import Comparison
from synaug_core.evaluate.sentence import (
    against_original_text,
    p_text,
    percent_text,
    points,
    positive_control_text,
    sentence,
)
from synaug_core.evaluate.variance import measure_shares
from synaug_core.metrics import METRICS

QUICK = EvaluationConfig(resamples=200)
THREE = ("original", "balanced", "control")
COUNTS = {"class a": 5, "class b": 30, "class c": 60}


def _compare(made, skills, *, n=6, controls=("original", "control"), validation=None, config=QUICK, **more):
    number = itertools.count()
    test = {arm: [made((8, 40, 60), skill=s, seed=next(number)) for _ in range(n)] for arm, s in skills.items()}
    scores = validation or {arm: [s] * n for arm, s in skills.items()}
    return compare(test, scores, controls=controls, train_counts=COUNTS, config=config, seed=3, **more)


def test_an_obvious_gain_is_found(made):
    c = _compare(made, {"original": 0.5, "control": 0.8, "synthetic": 1.0, "combined": 2.5})
    assert c.verdict == "gain"
    assert (c.best_arm, c.best_control, c.best_synthetic) == ("combined", "control", "combined")
    assert c.sentence.startswith("Gain shown: combined is +")
    assert "the hardest of 2 controls, control (95 % interval +" in c.sentence
    assert "p < .001, 6 paired repetitions" in c.sentence
    assert [x.metric for x in c.contrasts[:2]] == ["balanced_accuracy", "macro_auc"]
    assert {x.arm for x in c.family} == {"synthetic", "combined"}
    assert all(x.p_adjusted >= x.p_value for x in c.family)


def test_arms_are_chosen_on_the_validation_images_only(made):
    skills = {"original": 0.5, "control": 2.0, "synthetic": 1.0, "combined": 3.0}
    upside_down = {"original": [0.9], "control": [0.1], "synthetic": [0.8], "combined": [0.2]}
    c = _compare(made, skills, validation=upside_down)
    assert (c.best_arm, c.best_control, c.best_synthetic) == ("original", "original", "synthetic")
    assert c.arms["combined"].metrics["accuracy"].mean > c.arms["original"].metrics["accuracy"].mean


def test_among_equals_a_control_is_best(made):
    c = _compare(made, {"synthetic": 1.0, "control": 1.0}, validation={"synthetic": [0.5], "control": [0.5]})
    assert c.best_arm == "control"


def test_a_loss_is_told_as_one(made):
    c = _compare(made, {"control": 2.5, "synthetic": 0.5})
    assert c.verdict == "no gain shown"
    assert "points of balanced accuracy below the only control, control" in c.sentence


def test_a_tie_is_neither_over_nor_below(made):
    c = _compare(made, {"control": 1.0, "synthetic": 3.0})
    contrast = c.contrasts[0]
    for mean in (0.0, 0.0004, -0.0004):
        tie = contrast.model_copy(update={"difference": contrast.difference.model_copy(update={"mean": mean})})
        said = sentence(False, tie, 1, "synthetic", 0.95)
        assert "synthetic is 0.0 points of balanced accuracy away from the only control, control (" in said


@pytest.mark.parametrize(("n", "said"), [(1, "1 repetition is too few"), (5, "5 repetitions are too few")])
def test_few_repetitions_never_show_a_gain(made, n, said):
    c = _compare(made, {"control": 0.5, "synthetic": 3.0}, n=n)
    assert c.verdict == "no gain shown"
    assert said in c.sentence
    assert "it takes 6" in c.sentence


def test_a_stricter_level_needs_a_clearer_gain(made):
    skills = {"control": 1.0, "synthetic": 2.0}
    assert _compare(made, skills).verdict == "gain"
    c = _compare(made, skills, config=EvaluationConfig(resamples=200, confidence=0.99999))
    assert c.verdict == "no gain shown"
    assert "99.999 % interval" in c.sentence
    assert "too few" not in c.sentence


def test_a_gain_has_to_beat_every_control(made):
    """Far above the control that is best on the validation images, and not above the other."""
    skills = {"original": 3.0, "control": 0.5, "synthetic": 3.0}
    c = _compare(made, skills, validation={"original": [0.1], "control": [0.9], "synthetic": [0.9]})
    assert (c.best_control, c.hardest_control, c.verdict) == ("control", "original", "no gain shown")
    by_control = {x.against: x for x in c.against_controls}
    assert by_control["control"].difference.low > 0
    assert by_control["original"] == c.contrasts[0]
    assert "the hardest of 2 controls, original (" in c.sentence
    alone = _compare(made, {"control": 0.5, "synthetic": 3.0})
    assert alone.verdict == "gain"
    assert alone.against_controls == alone.contrasts[:1]


def test_the_p_value_is_the_largest_over_the_controls(made):
    c = _compare(made, {"original": 0.5, "balanced": 1.2, "control": 0.9, "synthetic": 1.6}, controls=THREE)
    assert [x.against for x in c.against_controls] == list(THREE)
    assert all(x.difference.mean > 0 for x in c.against_controls)
    assert c.contrasts[0].p_value == max(x.p_value for x in c.against_controls)
    for metric, x in zip(("balanced_accuracy", "macro_auc"), c.contrasts, strict=False):
        assert x.metric == metric
    family = {x.arm: x for x in c.family}
    assert family["synthetic"].p_value == c.contrasts[0].p_value


def test_a_control_that_is_better_is_the_hardest(made):
    """However small its two-sided p-value is."""
    c = _compare(made, {"original": 1.0, "control": 3.0, "synthetic": 1.0})
    assert c.hardest_control == "control"
    assert c.contrasts[0].p_value < min(x.p_value for x in c.against_controls if x.against == "original")


def test_the_positive_control_is_neither_a_control_nor_a_candidate(made):
    skills = {"original": 0.5, "control": 1.0, "synthetic": 1.0, "oracle": 3.0}
    c = _compare(made, skills, positive_controls=("oracle",))
    assert (c.best_arm, c.best_control, c.best_synthetic) != ("oracle", "oracle", "oracle")
    assert c.best_arm == "control"
    assert {x.arm for x in (*c.contrasts, *c.family)} == {"synthetic"}
    assert "oracle" not in {x.against for x in c.against_controls}
    assert c.arms["oracle"].is_positive_control
    assert not c.arms["oracle"].is_control
    with pytest.raises(ValueError, match="name an arm that is no control"):
        _compare(made, skills, positive_controls=("oracle",), config=EvaluationConfig(primary={"arm": "oracle"}))


def test_without_synthetic_arms_or_controls_there_is_no_gain(made):
    only = _compare(made, {"original": 1.0, "control": 1.2})
    assert (only.verdict, only.best_synthetic, only.contrasts, only.best_arm) == ("no gain shown", None, (), "control")
    assert only.sentence == "No gain shown: every arm that was compared is a control."
    none = _compare(made, {"synthetic": 1.0}, controls=())
    assert (none.verdict, none.best_control, none.best_arm) == ("no gain shown", None, "synthetic")
    assert "there is no control (an arm that a gain has to beat) to compare synthetic with" in none.sentence


def test_what_a_comparison_holds(made):
    c = _compare(made, {"control": 1.0, "synthetic": 1.0}, n=2)
    arm = c.arms["control"]
    assert c.rarest_class == "class a"
    assert c.test_counts == {"class a": 8, "class b": 40, "class c": 60}
    assert [sum(row) for row in arm.confusion] == [16, 80, 120]
    assert sum(arm.calibration.images) == 216
    assert arm.is_control
    assert not c.arms["synthetic"].is_control
    assert c.by_rarity == ("class a", "class b", "class c")
    assert Comparison.model_validate_json(c.model_dump_json()) == c


def test_the_rarest_class_is_one_that_can_be_judged(exact):
    p = exact([1, 1, 2], [1, 1, 2], 3)
    c = compare({"a": [p]}, {"a": [1.0]}, controls=["a"], train_counts=COUNTS, config=QUICK, seed=0)
    assert c.rarest_class == "class b"


def test_equal_training_counts_are_told_apart_by_the_test_images(made):
    p = made((40, 8, 60))
    even = dict.fromkeys(COUNTS, 20)
    c = compare({"a": [p]}, {"a": [1.0]}, controls=["a"], train_counts=even, config=QUICK, seed=0)
    assert c.rarest_class == "class b"
    assert c.by_rarity == ("class b", "class a", "class c")
    d = compare({"a": [p]}, {"a": [1.0]}, controls=["a"], train_counts=COUNTS, config=QUICK, seed=0)
    assert d.by_rarity == ("class a", "class b", "class c")


def test_one_class_in_the_test_images_leaves_the_first_endpoint(exact):
    p = exact([1, 1, 1], [1, 1, 0], 2)
    test = {"control": [p], "synthetic": [p]}
    scores = {"control": [1.0], "synthetic": [1.0]}
    c = compare(test, scores, controls=["control"], train_counts=COUNTS, config=QUICK, seed=0)
    assert "macro_auc" not in [x.metric for x in c.contrasts]
    assert c.contrasts[0].metric == "balanced_accuracy"


def test_adding_an_arm_changes_no_other_arm(made):
    a = _compare(made, {"control": 1.0, "synthetic": 1.1})
    b = _compare(made, {"control": 1.0, "synthetic": 1.1, "combined": 1.2})
    assert a.arms["control"] == b.arms["control"]


def test_unusable_arms_are_refused(made):
    p = made((3, 4))
    for test, validation in (({}, {}), ({"a": []}, {"a": [1.0]}), ({"a": [p]}, {}), ({"a": [p]}, {"a": []})):
        with pytest.raises(ValueError, match="needed"):
            compare(test, validation, controls=["a"], train_counts=COUNTS, config=QUICK, seed=0)
    with pytest.raises(ValueError, match="same test images"):
        compare(
            {"a": [p], "b": [made((3, 5))]},
            {"a": [1.0], "b": [1.0]},
            controls=["a"],
            train_counts=COUNTS,
            config=QUICK,
            seed=0,
        )


def test_under_the_null_a_gain_is_rarely_shown():
    """Six exchangeable arms whose trained models vary; what is picked on validation is lucky there and in test."""
    rng = np.random.default_rng(11)
    counts = np.array([10, 30, 60])
    labels = np.repeat(np.arange(3), counts).astype(np.int64)
    ids, n = tuple(map(str, range(len(labels)))), len(labels)
    arms = ("original", "balanced", "traditional", "control", "synthetic", "combined")
    gains, trials = 0, 100
    for trial in range(trials):
        difficulty = rng.normal(0.8, 1, n)
        test, validation = {}, {}
        for arm in arms:
            quality = rng.normal(0, 0.35, (6, 3))
            test[arm] = []
            for rep in range(6):
                right = difficulty + quality[rep][labels] + rng.normal(0, 1, n) > 0
                p = np.full((n, 3), 0.1)
                p[np.arange(n), np.where(right, labels, (labels + 1) % 3)] = 0.8
                test[arm].append(Predictions(ids, labels, p, tuple(COUNTS)))
            validation[arm] = list(quality.mean(1) + rng.normal(0, 0.05, 6))
        c = compare(
            test,
            validation,
            controls=arms[:4],
            train_counts=COUNTS,
            config=EvaluationConfig(resamples=100),
            seed=trial,
        )
        gains += c.verdict == "gain"
    assert gains <= 4


def test_numbers_in_words():
    assert [points(x) for x in (0.004, -0.019, 0.0, -0.0001, 0.1234)] == ["+0.4", "−1.9", "0.0", "0.0", "+12.3"]
    assert [p_text(p) for p in (1.0, 0.62, 0.1, 0.031, 0.0004)] == [
        "p = 1",
        "p = .62",
        "p = .10",
        "p = .031",
        "p < .001",
    ]
    assert [percent_text(x) for x in (0.95, 0.999, 0.9)] == ["95 %", "99.9 %", "90 %"]


def test_the_whole_way_from_the_original_images(made):
    skills = {"original": 0.5, "balanced": 0.9, "control": 1.2, "synthetic": 0.8, "combined": 2.0}
    c = _compare(made, skills, controls=THREE)
    assert [(x.against, x.arm) for x in c.waterfall] == [
        ("original", "balanced"),
        ("balanced", "control"),
        ("control", "combined"),
    ]
    whole = c.against_original
    assert (whole.arm, whole.against, whole.metric) == ("combined", "original", "balanced_accuracy")
    assert sum(x.difference.mean for x in c.waterfall) == pytest.approx(whole.difference.mean)
    assert whole == next(x for x in c.against_controls if x.against == "original")
    assert Comparison.model_validate_json(c.model_dump_json()) == c
    names = c.difference_metrics()
    assert names["difference/balanced_accuracy/combined-original"] == whole.difference.mean
    assert names["difference/balanced_accuracy/control-balanced/p"] == c.waterfall[1].p_value
    assert against_original_text(whole, 0.95).startswith("All in all, combined is +")
    bare = _compare(made, {"control": 1.0, "synthetic": 1.2})
    assert (bare.waterfall, bare.against_original) == ((), None)


def test_the_positive_control_says_what_could_be_seen(made):
    skills = {"original": 0.5, "control": 1.0, "synthetic": 1.0, "oracle": 3.0}
    c = _compare(made, skills, positive_controls=("oracle",))
    [oracle] = c.positive_control
    assert (oracle.arm, oracle.against) == ("oracle", "control")
    assert positive_control_text(oracle, 0.95).startswith("Real images in place of the synthetic ones show a gain")
    [weak] = _compare(made, skills | {"oracle": 1.0}, positive_controls=("oracle",)).positive_control
    assert positive_control_text(weak, 0.95).startswith(
        "Even real images in place of the synthetic ones would not show a gain with this design: oracle is "
    )


@pytest.mark.parametrize("metric", [name for name, m in METRICS.items() if m.may_decide])
def test_every_endpoint_can_be_declared(made, metric):
    number = itertools.count()
    counts, skills = (12, 30, 40), {"control": 0.6, "synthetic": 2.2}
    test, validated = (
        {arm: [made(counts, skill=s, seed=next(number)) for _ in range(6)] for arm, s in skills.items()} for _ in "ab"
    )
    shares = {
        arm: measure_shares(reps[0].labels, [p.predicted == p.labels for p in reps]) for arm, reps in test.items()
    }
    c = compare(
        test,
        {arm: [s] for arm, s in skills.items()},
        controls=["control"],
        train_counts=COUNTS,
        config=EvaluationConfig(resamples=100, primary={"metric": metric}),
        seed=0,
        validated=validated,
        attacked=shares,
    )
    assert c.verdict == "gain"
    assert c.contrasts[0].metric == metric
    assert [x.metric for x in c.contrasts[1:]] == [n for n, m in METRICS.items() if m.may_decide and n != metric]
    values = [c.arms[arm].metrics[c.key_of(METRICS[metric])].mean for arm in ("synthetic", "control")]
    assert c.contrasts[0].difference.mean == pytest.approx(values[0] - values[1])
    assert METRICS[metric].title in c.sentence


def test_thresholds_are_set_on_validation_images_alone(made):
    """Other validation images, other recall; and none without them."""
    test = {"control": [made((12, 30, 40), seed=s) for s in range(2)]}
    options = {"controls": ["control"], "train_counts": COUNTS, "config": QUICK, "seed": 0}
    name = "rarest_recall_at_specificity"
    strict, loose = (
        compare(
            test,
            {"control": [0.5]},
            validated={"control": [made((9, 40, 40), skill, 7 + s) for s in range(2)]},
            **options,
        )
        for skill in (-1.0, 3.0)
    )
    assert strict.arms["control"].metrics[name].mean < loose.arms["control"].metrics[name].mean
    assert name not in compare(test, {"control": [0.5]}, **options).arms["control"].metrics
    half = {"control": [made((9, 40, 40)), None]}
    assert name not in compare(test, {"control": [0.5]}, validated=half, **options).arms["control"].metrics


def test_few_images_of_the_rarest_class_are_no_certainty(made):
    c = _compare(made, {"control": 40.0})
    assert c.arms["control"].metrics["rarest_auc"].mean == 1
    assert c.arms["control"].metrics["rarest_auc"].low < 0.75
    assert c.arms["control"].metrics["macro_auc"].low == 1
