from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.errors import ConfigError
from synaug_core.services.retention.rule import Plan, Policy, RunFacts, VersionFacts, decide

NOW, DAY = 1_000_000_000.0, 86_400.0
POLICY = Policy(keep=2, days=10)


def run(name: str, days_ago: float = 100, stage: str = "retrain", **facts: Any) -> RunFacts:
    given: dict[str, Any] = {"id": name, "experiment": "synaug/a", "stage": stage, "ended": NOW - days_ago * DAY}
    return RunFacts(**given | facts)


def step(name: str, parent: str, stage: str = "synthesis", **facts: Any) -> RunFacts:
    return run(name, stage=stage, parent=parent, **facts)


def gone(*runs: RunFacts, versions: Any = (), mentions: Any = None, policy: Policy = POLICY) -> list[str]:
    return [r.id for r in decide(runs, versions, mentions or {}, policy, NOW).removed]


OLD = (run("new1", 50), run("new2", 60))
"""The last two retrainings, so that others are not among them."""


def test_the_last_ones_of_each_experiment_and_kind_stay() -> None:
    others = (run("b", experiment="synaug/b"), run("w", stage="watch"), run("x", 70), run("y", 80))
    assert gone(*OLD, *others) == ["x", "y"]


def test_what_is_young_stays_and_failures_do_not_count_among_the_last() -> None:
    assert gone(*OLD, run("young", 9), run("failed", 20, finished=False)) == ["failed", "new2"]
    assert gone(*OLD, run("failed", 9, finished=False)) == []


def test_a_retraining_goes_with_all_below_it_the_highest_first() -> None:
    runs = (*OLD, run("x", 70), step("s", "x"), step("t", "s", "trial"))
    assert gone(*runs) == ["x", "s", "t"]


def test_a_step_made_again_lately_makes_its_retraining_young() -> None:
    assert gone(*OLD, run("x", 70), step("s", "x", ended=NOW - DAY)) == ["new2"]
    assert gone(*OLD, run("x", 70), step("s", "x", ended=NOW - DAY, reused_from="elsewhere")) == ["x", "s"]


def test_what_a_kept_run_stands_for_stays_with_those_above_it() -> None:
    reused = step("stand-in", "new1", reused_from="s")
    runs = (*OLD, reused, run("x", 70), step("s", "x"), step("other", "x"))
    plan = decide(runs, (), {}, POLICY, NOW)
    assert [r.id for r in plan.removed] == ["other"]
    assert plan.reasons["s"] == plan.reasons["x"] == "used by synthesis stand-in"
    assert [r.id for r in plan.thinned] == ["x"]


def test_needs_are_followed_to_the_end() -> None:
    runs = (*OLD, step("c", "new1", "comparison"), run("x", 70), step("s", "x", reused_from="t"), step("t", "x"))
    assert gone(*runs, mentions={"c": frozenset({"s"})}) == []
    assert gone(*runs) == ["x", "s", "t"]


def test_a_sweep_keeps_its_retrainings() -> None:
    runs = (*OLD, run("sweep", stage="sweep", names=("x",)), run("x", 70), step("s", "x"), run("y", 80))
    assert gone(*runs) == ["y"]


def test_a_champion_of_any_time_keeps_all_and_other_versions_their_model_and_images() -> None:
    runs = (*OLD, run("x", 70), *(step(s, "x", s) for s in ("dataset", "generator", "arm")), step("model", "arm"))
    assert gone(*runs, versions=[VersionFacts("m version 1", "model", "x", True)]) == []
    assert gone(*runs, versions=[VersionFacts("m version 1", "model", "x", False)]) == ["generator"]
    assert gone(*runs, versions=[VersionFacts("m version 1", "gone", "gone", True)])[0] == "x"


def test_images_that_people_judged_stay() -> None:
    assert gone(*OLD, run("x", 70), step("s", "x", judged=True), step("t", "x")) == ["t"]


def test_an_experiment_in_which_something_runs_is_left_alone() -> None:
    runs = (*OLD, run("x", 70), step("s", "x", running=True), run("y", experiment="synaug/b"))
    plan = decide(runs, (), {}, Policy(0, 10), NOW)
    assert [r.id for r in plan.removed] == ["y"]
    assert plan.busy == {"synaug/a": "s"}


def test_runs_deleted_by_hand_are_freed_once_they_are_old_unless_needed() -> None:
    hand = step("s", "new1", deleted=True)
    assert gone(*OLD, hand) == ["s"]
    assert gone(*OLD, step("s", "new1", deleted=True, ended=NOW - DAY)) == []
    assert gone(*OLD, hand, step("stand-in", "new2", reused_from="s")) == []
    assert gone(*OLD, step("s", "new1", deleted=True, freed=True)) == []


def test_what_a_killed_clean_up_left_below_a_deleted_run_goes() -> None:
    assert gone(*OLD, step("orphan", "not there"), step("young", "not there", ended=NOW - DAY)) == ["orphan"]


def test_a_thinned_retraining_takes_no_place_among_the_last_until_it_is_made_again() -> None:
    thinned = NOW - 40 * DAY
    assert gone(run("thin", 45, thinned=thinned), run("a", 50), run("b", 60)) == ["thin"]
    again = step("s", "thin", ended=NOW - 30 * DAY)
    assert gone(run("thin", 45, thinned=thinned), again, run("a", 50), run("b", 60)) == ["b"]


@pytest.mark.parametrize("wrong", [{"keep": -1}, {"days": -1.0}, {"days": float("inf")}, {"days": float("nan")}])
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="negative"):
        Policy(**wrong)


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[RunFacts], list[VersionFacts], dict[str, frozenset[str]]]:
    size = draw(st.integers(1, 14))
    names = [f"r{i}" for i in range(size)]
    some = st.sampled_from(names)
    runs = []
    for i, name in enumerate(names):
        top = i == 0 or draw(st.booleans())
        runs.append(
            run(
                name,
                draw(st.integers(0, 40)),
                "retrain" if top else draw(st.sampled_from(["dataset", "arm", "synthesis"])),
                parent=None if top else draw(st.sampled_from(names[:i])),
                reused_from=None if top else draw(st.none() | some),
                deleted=draw(st.integers(0, 9)) == 0,
                finished=draw(st.booleans()),
            )
        )
    version = st.builds(VersionFacts, st.just("m version 1"), some, some, st.booleans())
    mentions = st.dictionaries(some, st.frozensets(some, max_size=2), max_size=3)
    return runs, draw(st.lists(version, max_size=2)), draw(mentions)


@given(stores(), st.integers(0, 3), st.integers(0, 30))
def test_nothing_that_stays_needs_what_goes(store: Any, keep: int, days: int) -> None:
    runs, versions, mentions = store
    plan: Plan = decide(runs, versions, mentions, Policy(keep, days), NOW)
    going = {r.id for r in plan.removed}
    every = {r.id: r for r in runs}
    assert going.isdisjoint(plan.reasons)
    assert going | set(plan.reasons) == set(every)
    for name in plan.reasons:
        needed = {every[name].parent, every[name].reused_from, *mentions.get(name, ())} & set(every)
        assert needed.isdisjoint(going)
    for version in versions:
        assert version.run_id not in going
    # Done once, there is nothing left to do.
    left = [r for r in runs if r.id not in going]
    assert {r.id for r in decide(left, versions, mentions, Policy(keep, days), NOW).removed} <= going
