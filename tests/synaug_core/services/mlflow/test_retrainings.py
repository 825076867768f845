from __future__ import annotations

from collections.abc import Callable

import pytest

from synaug_core.refs import RunRef
from synaug_core.services import retry
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.retrainings import close_runs_of, last_compare_page, sources_of
from synaug_core.services.mlflow.runs import finish, open_run, recording, recording_in
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import Settings

Make = Callable[..., RunRef]


def state(current: Settings, run: RunRef) -> tuple[str, str | None]:
    found = client(current).get_run(run.run_id)
    return found.info.status, found.data.tags.get("synaug.error")


def test_what_a_dead_flow_run_left_open_is_closed(
    current: Settings, new_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_PAGE_LENGTH", 1)  # every search has pages
    dead = new_run("dead", **{Tag.FLOW_RUN: "1"})
    steps = [new_run(f"step {n}", dead, "generator") for n in range(3)]
    finish(steps[0])
    called = open_run(
        current, experiment="synaug/other", key="k", stage="retrain", name="called", tags={Tag.FLOW_RUN: "2"}
    )
    alive, nobodys = new_run("alive", **{Tag.FLOW_RUN: "3"}), new_run("by hand")
    elsewhere = open_run(current, experiment="mine", key="k", stage="x", name="x", tags={Tag.FLOW_RUN: "1"})

    closed = close_runs_of(current, ["1", "2"], "Crashed: postgresql://me:hunter2@host/db\nand more")
    assert sorted(closed) == sorted(run.run_id for run in (dead, *steps[1:], called))
    for run in (dead, *steps[1:], called):
        assert state(current, run) == ("KILLED", "Crashed: postgresql://***@host/db")
    assert state(current, steps[0]) == ("FINISHED", None)
    assert [state(current, run) for run in (alive, nobodys, elsewhere)] == [("RUNNING", None)] * 3
    assert close_runs_of(current, ["1", "2"], "again") == []


def test_a_run_that_was_taken_up_is_left_alone(current: Settings, new_run: Make) -> None:
    run = new_run("p", **{Tag.FLOW_RUN: "1"})
    assert new_run("p", **{Tag.FLOW_RUN: "2"}).run_id == run.run_id
    assert close_runs_of(current, ["1"], "Crashed") == []
    assert state(current, run) == ("RUNNING", None)


def test_nothing_was_ever_trained(current: Settings) -> None:
    assert close_runs_of(current, ["1"], "Crashed") == []


def test_the_sources_of_an_experiment_are_those_of_its_data_sets(current: Settings) -> None:
    assert sources_of(current, "synaug/pets") == frozenset()
    for key, stage, source in (("1", "dataset", "/a/pets"), ("2", "dataset", "/b/pets"), ("3", "retrain", "/c")):
        with recording(current, experiment="synaug/pets", key=key, stage=stage, name=key) as recorder:
            recorder.params({"source": source})
    assert sources_of(current, "synaug/pets") == {"/a/pets", "/b/pets"}
    assert sources_of(current, "synaug/other") == frozenset()


def test_the_last_retraining_leads_to_its_arms_side_by_side(current: Settings, new_run: Make) -> None:
    assert last_compare_page(current) is None
    for key in ("first", "second"):
        with recording_in(new_run(key)) as recorder:
            recorder.tags({Tag.COMPARE_PAGE: f"#/compare-runs?runs={key}"})
    new_run("unfinished", **{Tag.COMPARE_PAGE: "#/nowhere"})
    assert last_compare_page(current) == ("synaug/test", "#/compare-runs?runs=second")
