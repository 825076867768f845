"""The number of steps that `auto` means."""

from __future__ import annotations

import pytest

from synaug_core.classify.budget import count_steps, resolve_steps
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, ClassifierConfig

ORIGINAL, CONTROL = STANDARD_ARMS["original"], STANDARD_ARMS["control"]
PBC = {"rare": 20} | {f"class {n}": 100 for n in range(7)}
ALL = (ORIGINAL, CONTROL)


def test_the_measured_cases():
    assert count_steps(PBC, ALL, 64) == 1600
    assert 400 <= count_steps({"a": 130, "b": 54, "c": 21}, ALL, 64) <= 600


def test_more_images_or_classes_never_get_fewer_steps():
    for arms in (ALL, (ORIGINAL,)):
        by_images = [count_steps({"a": n, "b": n}, arms, 64) for n in (1, 10, 100, 1000, 10_000)]
        by_classes = [count_steps(dict.fromkeys(map(str, range(k)), 240 // k), arms, 64) for k in (2, 4, 8, 24)]
        assert by_images == sorted(by_images)
        assert by_classes == sorted(by_classes)
        assert len(set(by_images)) > 2
    assert count_steps({"a": 1}, ALL, 64) == 300
    assert count_steps(dict.fromkeys(map(str, range(1000)), 50), ALL, 64) == 5000


def test_the_largest_need_of_the_arms_counts():
    assert count_steps(PBC, (ORIGINAL,), 64) < count_steps(PBC, ALL, 64) == count_steps(PBC, (CONTROL,), 64)


def test_an_arm_counts_as_what_it_may_become():
    picked = ArmConfig(name="picked", candidates=("balanced", "strong"))
    assert count_steps(PBC, (ORIGINAL, picked), 64) == count_steps(PBC, ALL, 64)
    plain = ArmConfig(name="picked", candidates=("balanced", "original"))
    assert count_steps(PBC, (ORIGINAL, plain), 64) == count_steps(PBC, (ORIGINAL,), 64)


def test_smaller_batches_get_more_steps_and_classes_without_images_do_not_count():
    assert count_steps(PBC, ALL, 32) == pytest.approx(2 * count_steps(PBC, ALL, 64), rel=0.05)
    assert count_steps(PBC | {"empty": 0}, ALL, 64) == count_steps(PBC, ALL, 64)


def test_a_number_stays_and_auto_is_the_default():
    assert ClassifierConfig().steps == "auto"
    assert resolve_steps(ClassifierConfig(), ALL, PBC).step_count == 1600
    assert resolve_steps(ClassifierConfig(steps=7), ALL, PBC) == ClassifierConfig(steps=7)
    assert resolve_steps(ClassifierConfig(), ALL, PBC).steps_or_half(None) == 800
    with pytest.raises(ValueError, match="auto is no number"):
        ClassifierConfig().step_count  # noqa: B018


def test_fine_tuning_needs_a_part_of_them():
    tuned = ClassifierConfig(training="fine_tuned")
    assert resolve_steps(tuned, ALL, PBC).step_count == 250
    assert resolve_steps(tuned, ALL, {"a": 130, "b": 54, "c": 21}).step_count == 100
    assert count_steps(PBC, (ORIGINAL,), 64, "fine_tuned") < 250
    assert count_steps(PBC, ALL, 32, "fine_tuned") == pytest.approx(500, abs=50)


def test_a_training_outside_a_run_resolves_them_itself(make_set, quick):
    arm = ArmConfig(name="x")
    config = quick.model_copy(update={"steps": "auto", "evaluate_every": 100, "batch_size": 64})
    made = train(TrainingJob(config, arm, make_set(), make_set(seed=1), init_seed=3, batch_seed=4))
    assert made.history.stopped_at == made.config.steps == 300
