"""Arms that name their candidates, the further controls, and what does not go together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from synaug_core.config import Config
from synaug_core.config.arms import DEFAULT_ARMS, FURTHER_CONTROLS, NAMED_ARMS, STANDARD_ARMS, ArmConfig


def test_a_run_that_names_no_arm_has_the_standard_ones_and_the_best_of_the_further_controls():
    assert [arm.name for arm in Config().arms] == [*STANDARD_ARMS, "picked"]
    assert Config().arms == tuple(DEFAULT_ARMS.values())
    assert DEFAULT_ARMS["picked"].candidates == tuple(FURTHER_CONTROLS)


@pytest.mark.parametrize("name", [*FURTHER_CONTROLS, "picked"])
def test_further_controls_are_arms_by_name_and_controls(name):
    [arm] = Config.model_validate({"arms": [name]}).arms
    assert arm == NAMED_ARMS[name]
    assert arm.is_control


def test_each_further_control_differs_from_the_control_in_its_own_way():
    """In one setting, or in what takes the place of balanced draws."""
    control = STANDARD_ARMS["control"].model_dump(exclude={"name"})
    for arm in FURTHER_CONTROLS.values():
        changed = {k for k, v in arm.model_dump(exclude={"name"}).items() if v != control[k]}
        assert len(changed - {"sampling"}) <= 1
        assert changed


def test_an_arm_becomes_its_candidate_under_its_own_name():
    arm = ArmConfig(name="mine", candidates=("strong", "control"), control=True)
    assert arm.become("strong") == NAMED_ARMS["strong"].model_copy(update={"name": "mine", "control": True})
    assert arm.become("control").sampling == "balanced"


def test_an_arm_with_candidates_is_less_simple_than_any_of_them():
    assert NAMED_ARMS["picked"].ingredients == 4
    assert NAMED_ARMS["picked"].ingredients > NAMED_ARMS["control"].ingredients
    assert ArmConfig(name="a", candidates=("balanced", "original")).ingredients == 2


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"candidates": ("magic",)}, "candidates: unknown 'magic'; known are balanced, "),
        ({"candidates": ("combined",)}, "candidates: unknown 'combined'"),
        ({"candidates": ("picked",)}, "candidates: unknown 'picked'"),
        ({"candidates": ("strong",), "sampling": "balanced"}, "the arm trains as one of them; leave sampling out"),
        ({"loss": "balanced_softmax", "sampling": "balanced"}, "loss: balanced_softmax corrects natural draws"),
        ({"loss": "balanced_softmax", "sampling": "deferred"}, "loss: balanced_softmax corrects natural draws"),
        ({"sampling": "deferred", "pretrain": 0.3, "synthesis": {}}, "both divide the steps into phases"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, line):
    with pytest.raises(ValidationError, match=line):
        ArmConfig(name="a", **settings)
