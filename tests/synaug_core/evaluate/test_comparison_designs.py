"""Cross-validation and the declared contrast, from predictions to the verdict."""

from dataclasses import replace

import numpy as np
import pytest

from synaug_core.config import EvaluationConfig, PrimaryConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.contrast import holm
from synaug_core.evaluate.folds import corrected_t, overlap
from synaug_core.evaluate.results import Comparison
from synaug_core.evaluate.scorer import scores

ARMS = ("combined", "synthetic", "control")
COUNTS = {"a": 5, "b": 30}


def _config(**primary):
    return EvaluationConfig(resamples=200, primary=PrimaryConfig(**primary))


def _folded(cross_validated, config=None, *, gain=0.0, seed=0, folds=5, **more):
    test, validation = cross_validated(np.random.default_rng(seed), ARMS, folds=folds, gain=gain, **more)
    config = config or _config()
    return test, compare(
        test, validation, controls=["control"], train_counts=COUNTS, config=config, seed=1, folds=folds
    )


def _split(crossed, config, *, arms=ARMS, n=6, gain=1.5, validation=None):
    test = crossed(np.random.default_rng(0), arms, n, gain=gain)
    scored = validation or {arm: [0.5] for arm in arms}
    return compare(test, scored, controls=["control"], train_counts=COUNTS, config=config, seed=1)


def test_an_obvious_gain_is_found_in_cross_validation(cross_validated):
    test, c = _folded(cross_validated, gain=6.0, images=200)
    assert c.verdict == "gain"
    assert c.sentence.startswith("Gain shown: combined is +")
    assert "points of balanced accuracy over the only control, control (95 % interval +" in c.sentence
    assert "after Holm's correction for the choice of the arm, corrected t test, 5-fold" in c.sentence
    assert c.sentence.endswith("5-fold cross-validation repeated 2 times).")
    assert {x.test for x in (*c.contrasts, *c.family)} == {"corrected_t"}
    assert (c.folds, c.design, c.mcnemar) == (5, "5-fold cross-validation repeated 2 times", ())
    assert c.arms["control"].repetitions == c.contrasts[0].repetitions == 10
    d = [
        scores(a)["balanced_accuracy"] - scores(b)["balanced_accuracy"]
        for a, b in zip(test["combined"], test["control"], strict=True)
    ]
    assert (c.contrasts[0].difference, c.contrasts[0].p_value) == corrected_t(d, overlap(5), 0.95)
    assert Comparison.model_validate_json(c.model_dump_json()) == c


def test_every_image_counts_once_in_the_counts_and_always_in_the_sums(cross_validated):
    _, c = _folded(cross_validated, repetitions=3)
    assert c.test_counts == {"a": 30, "b": 30}
    assert c.arms["control"].metrics["class/a/support"].mean == 30
    assert [sum(row) for row in c.arms["control"].confusion] == [90, 90]
    assert sum(c.arms["control"].calibration.images) == 180


def test_the_arm_that_is_chosen_in_sight_of_test_images_pays_for_the_choice(cross_validated):
    _, c = _folded(cross_validated, gain=1.5)
    expected = holm({x.arm: x.p_value for x in c.family})
    assert c.contrasts[0].p_adjusted == expected[c.best_synthetic]
    _, named = _folded(cross_validated, _config(arm="combined"), gain=1.5)
    assert named.contrasts[0].arm == "combined"
    assert named.contrasts[0].p_adjusted == named.contrasts[0].p_value
    assert "Holm" not in named.sentence
    assert named.family == c.family
    assert named.power.level == pytest.approx(2 * c.power.level)


def test_few_trainings_show_no_gain(cross_validated):
    _, c = _folded(cross_validated, _config(arm="combined"), gain=20.0, images=400, repetitions=1)
    assert c.contrasts[0].difference.low > 0
    assert c.contrasts[0].p_adjusted < 0.05
    assert c.verdict == "no gain shown"
    assert c.sentence.endswith("5-fold cross-validation). 5 trainings are too few to show a gain: it takes 6.")
    _, more = _folded(cross_validated, _config(arm="combined"), gain=20.0, images=400, repetitions=3, folds=2)
    assert more.verdict == "gain"


def test_images_that_are_no_folds_are_refused(cross_validated):
    test, validation = cross_validated(np.random.default_rng(0), ARMS)
    options = {"controls": ["control"], "train_counts": COUNTS, "config": _config(), "seed": 1}
    with pytest.raises(ValueError, match="not whole repetitions of 4 folds"):
        compare(test, validation, folds=4, **options)
    with pytest.raises(ValueError, match="same test images"):
        compare(test, validation, **options)
    swapped = test | {"control": test["control"][::-1]}
    with pytest.raises(ValueError, match="fold 0: the arms need the same test images"):
        compare(swapped, validation, folds=5, **options)


def test_the_verdict_is_about_the_declared_arm(crossed):
    arms = ("worse", "control", "combined")
    better = {"worse": [0.9], "control": [0.5], "combined": [0.1]}
    best = _split(crossed, _config(), arms=("combined", "control", "worse"), validation=better)
    assert (best.contrasts[0].arm, best.verdict) == ("worse", "no gain shown")
    named = _split(crossed, _config(arm="combined"), arms=("combined", "control", "worse"), validation=better)
    assert (named.contrasts[0].arm, named.verdict, named.best_synthetic) == ("combined", "gain", "worse")
    assert named.sentence.startswith("Gain shown: combined is +")
    assert named.primary == PrimaryConfig(arm="combined")
    assert {x.arm for x in named.family} == set(arms) - {"control"}


def test_the_declared_metric_comes_first_and_decides(crossed):
    c = _split(crossed, _config(metric="macro_auc"))
    assert [x.metric for x in c.contrasts[:2]] == ["macro_auc", "balanced_accuracy"]
    assert {x.metric for x in c.family} == {"macro_auc"}
    assert c.power.metric == "macro_auc"
    assert "points of macro-AUC over the only control" in c.sentence


def test_a_declared_metric_that_the_test_images_do_not_define(exact):
    p = exact([1, 1, 1], [1, 1, 0], 2)
    test, scored = {"control": [p] * 6, "synthetic": [p] * 6}, {"control": [1.0], "synthetic": [1.0]}
    options = {"controls": ["control"], "train_counts": COUNTS, "seed": 0}
    c = compare(test, scored, config=_config(metric="macro_auc"), **options)
    assert (c.contrasts, c.verdict) == ((), "no gain shown")
    assert c.sentence == "No gain shown: macro-AUC cannot be computed for every arm from these images."


@pytest.mark.parametrize(("arm", "said"), [("gan", "gan is not compared"), ("control", "control is a control; name")])
def test_a_declared_arm_that_cannot_be_judged_is_refused(crossed, arm, said):
    with pytest.raises(ValueError, match=f"evaluation.primary.arm: {said}"):
        _split(crossed, _config(arm=arm))


def test_pairs_of_models_are_there_to_read(crossed):
    c = _split(crossed, _config())
    assert [d.repetition for d in c.mcnemar] == list(range(6))
    gained = sum(d.only_arm_right - d.only_against_right for d in c.mcnemar)
    right = {arm: np.trace(np.array(c.arms[arm].confusion)) for arm in ("combined", "control")}
    assert gained == right["combined"] - right["control"]
    assert Comparison.model_validate_json(c.model_dump_json()) == c


def test_comparisons_stored_before_can_still_be_read(crossed):
    c = _split(crossed, _config())
    old = c.model_dump(mode="json", exclude={"folds", "primary", "mcnemar", "power", "against_controls"})
    for x in (*old["contrasts"], *old["others"]):
        del x["test"]
    read = Comparison.model_validate(old)
    assert {x.test for x in (*read.contrasts, *read.family)} == {"sign_flip"}
    assert [x.difference for x in read.contrasts] == [x.difference for x in c.contrasts]
    assert (read.folds, read.power, read.against_controls, read.hardest_control) == (None, None, (), "control")


def test_folds_of_different_order_are_the_same_comparison(cross_validated):
    """Which fold is called the first has no meaning."""
    test, validation = cross_validated(np.random.default_rng(5), ARMS, repetitions=1)
    options = {"controls": ["control"], "train_counts": COUNTS, "config": _config(), "seed": 1, "folds": 5}
    a = compare(test, validation, **options)
    b = compare({arm: reps[::-1] for arm, reps in test.items()}, validation, **options)
    assert a.contrasts[0].difference.mean == pytest.approx(b.contrasts[0].difference.mean)
    assert a.contrasts[0].p_value == pytest.approx(b.contrasts[0].p_value)
    assert a.arms["control"].confusion == b.arms["control"].confusion
    test["control"][0] = replace(test["control"][0], labels=1 - test["control"][0].labels)
    with pytest.raises(ValueError, match="other images or labels"):
        compare(test, validation, **options)
