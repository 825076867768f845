from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from synaug_core.errors import UserError
from synaug_core.refs import RunRef
from synaug_core.services import processes
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.links import at_server, link_to, link_to_comparison, link_to_experiment, link_to_model
from synaug_core.services.mlflow.runs import find_run, finish, open_run, reap, recording_in, run_ref
from synaug_core.services.settings import Settings

Make = Callable[..., RunRef]


def status(current: Settings, run: RunRef) -> str:
    return str(client(current).get_run(run.run_id).info.status)


def test_a_run_says_what_it_is_and_where_it_belongs(current: Settings, new_run: Make):
    parent = new_run("p", **{"synaug.dataset": "test"})
    child = new_run("c", parent, "arm", **{"synaug.arm": "original"})
    tags = client(current).get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert tags["synaug.stage"] == "arm"
    assert tags["synaug.arm"] == "original"
    assert tags["synaug.dataset"] == "test"
    assert tags["mlflow.runName"] == "c"
    assert len(tags["synaug.code_version"]) == 64
    assert child.tags == {"synaug.dataset": "test", "synaug.arm": "original"}
    info = client(current).get_run(child.run_id).info
    assert info.artifact_uri.startswith((current.home / "artifacts" / "synaug-test").as_uri())


def test_the_same_key_below_the_same_parent_is_the_same_run(current: Settings, new_run: Make):
    one, two = new_run("p1"), new_run("p2")
    assert new_run("p1") == one
    assert new_run("c", one).run_id == new_run("c", one).run_id
    assert len({new_run("c", one).run_id, new_run("c", two).run_id, new_run("c").run_id}) == 3
    assert find_run(current, experiment="synaug/test", key="c", parent=two) is not None
    assert find_run(current, experiment="synaug/test", key="none") is None


@pytest.mark.parametrize("left", ["RUNNING", "KILLED", "FAILED"])
def test_a_run_left_behind_is_taken_up(current: Settings, new_run: Make, left: str):
    run = new_run("p")
    if left != "RUNNING":
        finish(run, left, "it broke\nbadly")  # type: ignore[arg-type]
        assert client(current).get_run(run.run_id).data.tags["synaug.error"] == "it broke"
    assert new_run("p", **{"prefect.flow_run_id": "2"}).run_id == run.run_id
    assert status(current, run) == "RUNNING"
    tags = client(current).get_run(run.run_id).data.tags
    assert "synaug.error" not in tags
    assert tags["prefect.flow_run_id"] == "2"


def test_a_finished_run_is_returned_as_it_is(current: Settings, new_run: Make):
    run = new_run("p")
    finish(run)
    ended = client(current).get_run(run.run_id).info.end_time
    assert new_run("p").run_id == run.run_id
    assert status(current, run) == "FINISHED"
    assert client(current).get_run(run.run_id).info.end_time == ended


@pytest.mark.parametrize("fails_first", [True, False])
def test_of_two_who_do_the_same_step_at_once_the_one_that_ends_well_decides(
    current: Settings, new_run: Make, fails_first: bool
):
    """The step's result is there, so that no later try would mend what the MLflow run says."""
    run = new_run("p")
    failing, succeeding = (contextlib.ExitStack() for _ in range(2))
    for stack in (failing, succeeding):
        stack.enter_context(recording_in(run))

    def fail() -> None:
        with pytest.raises(OSError, match="away"), failing:
            raise OSError("a server was away")

    for leave in (fail, succeeding.close) if fails_first else (succeeding.close, fail):
        leave()
    assert status(current, run) == "FINISHED"
    assert "synaug.error" not in client(current).get_run(run.run_id).data.tags


def test_threads_that_open_the_same_run_get_the_same(current: Settings, new_run: Make):
    barrier = threading.Barrier(6)

    def work(_: int) -> RunRef:
        barrier.wait()
        return new_run("same")

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(work, range(6)))
    assert len({r.run_id for r in found}) == 1
    assert len([e for e in client(current).search_experiments() if e.name == "synaug/test"]) == 1


@pytest.mark.slow
def test_processes_that_begin_together_on_nothing_make_one_database(current: Settings):
    home = current.home / "new"
    code = (
        "from synaug_core.services.settings import settings\n"
        "from synaug_core.services.mlflow.runs import open_run\n"
        "print(open_run(settings(), experiment='e', key='k', stage='s', name='n').run_id)"
    )
    environment = {**os.environ, "SYNAUG_HOME": str(home)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {p.communicate(timeout=200)[0].strip() for p in started}
    assert len(found) == 1
    assert len(found.pop()) == 32


def test_runs_whose_parent_ended_are_closed(current: Settings, new_run: Make):
    parent = new_run("p")
    arm = new_run("a", parent)
    leaf = new_run("l", arm)
    other = new_run("o")
    assert reap(current, "synaug/test") == []
    finish(parent)
    assert set(reap(current, "synaug/test")) == {arm.run_id, leaf.run_id}
    assert [status(current, r) for r in (parent, arm, leaf, other)] == ["FINISHED", "KILLED", "KILLED", "RUNNING"]


def test_everything_below_one_run_is_closed_on_request(current: Settings, new_run: Make):
    parent, other = new_run("p"), new_run("o")
    child, foreign = new_run("c", parent), new_run("c", other)
    assert reap(current, "synaug/test", below=parent) == [child.run_id]
    assert status(current, foreign) == "RUNNING"


def test_runs_of_dead_processes_are_closed(current: Settings, new_run: Make):
    lost, alive, elsewhere = new_run("lost"), new_run("alive"), new_run("elsewhere")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    identity = processes.own_identity().rsplit("/", 2)[0] + f"/{gone.pid}/1"
    gone.wait()
    client(current).set_tag(lost.run_id, "synaug.process", identity)
    client(current).set_tag(elsewhere.run_id, "synaug.process", "another-host/pid:[1]/1/1")
    assert reap(current, "synaug/test") == [lost.run_id]
    assert status(current, alive) == "RUNNING"
    assert reap(current, "synaug/test", stale_after=3600.0) == []
    assert set(reap(current, "synaug/test", stale_after=-1.0)) == {alive.run_id, elsewhere.run_id}


def test_a_process_knows_itself_and_doubts_strangers():
    assert not processes.is_dead(processes.own_identity())
    assert not processes.is_dead("")
    assert not processes.is_dead("another-host/pid:[1]/1/1")
    space, pid, _ = processes.own_identity().rsplit("/", 2)
    assert processes.is_dead(f"{space}/{pid}/1")  # the number was given to another process since


def test_links_lead_to_the_pages(current: Settings, new_run: Make):
    one, two = new_run("one"), new_run("two")
    number = client(current).get_run(one.run_id).info.experiment_id
    mode = "workflowType=machine_learning"
    assert link_to(one) == f"#/experiments/{number}/runs/{one.run_id}?{mode}"
    both = f"%5B%22{one.run_id}%22%2C%22{two.run_id}%22%5D"
    assert link_to_comparison([one, two]) == f"#/compare-runs?runs={both}&experiments=%5B%22{number}%22%5D&{mode}"
    assert at_server("sqlite:///x.db", "#/a") == "http://127.0.0.1:5000/#/a"
    assert at_server("https://mlflow.example/", "#/a") == "https://mlflow.example/#/a"
    assert at_server("sqlite:///x.db", "https://mlflow.example/#/a") == "https://mlflow.example/#/a"
    assert link_to_experiment(current, "synaug/test") == f"#/experiments/{number}/runs?{mode}"
    assert link_to_model(current, "synaug-test") == f"#/models/synaug-test?{mode}"


def test_a_run_is_known_by_its_id(current: Settings, new_run: Make):
    run = new_run("p")
    assert run_ref(current, run.run_id) == run


def test_a_deleted_experiment_is_named(current: Settings):
    number = client(current).create_experiment("synaug/gone")
    client(current).delete_experiment(number)
    with pytest.raises(UserError, match=f"'synaug/gone' was deleted.*--experiment-id {number}"):
        open_run(current, experiment="synaug/gone", key="k", stage="retrain", name="n")


def test_a_key_with_quotation_marks_is_refused(new_run: Make):
    with pytest.raises(ValueError, match="quotation marks"):
        new_run("it's")


def test_a_server_that_is_not_there_is_named(current: Settings, monkeypatch: pytest.MonkeyPatch):
    from synaug_core.services.mlflow import clients

    monkeypatch.setattr(clients, "_PATIENCE", 0.0)
    with pytest.raises(UserError, match=r"no server answers at http://127\.0\.0\.1:9"):
        clients._client("http://127.0.0.1:9", current.home)


def test_a_database_that_cannot_be_opened_is_named(current: Settings):
    from synaug_core.services.mlflow import clients

    (current.home / "text.db").write_text("this is no database" * 100)
    with pytest.raises(UserError, match=r"text\.db cannot be opened"):
        clients._client(f"sqlite:///{current.home}/text.db", current.home)


def test_a_database_whose_making_was_cut_off_is_made_anew(current: Settings):
    """As it stands between two steps of a migration."""
    from synaug_core.services.mlflow import clients

    with contextlib.closing(sqlite3.connect(current.home / "mlflow.db")) as database, database:
        database.execute("DELETE FROM experiments")
        database.execute("DROP TABLE registered_models")
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    clients._client.cache_clear()
    assert [e.name for e in client(current).search_experiments()] == ["Default"]


def test_a_database_with_something_in_it_is_never_made_anew(current: Settings, new_run: Callable[..., RunRef]):
    from synaug_core.services.mlflow import clients

    new_run("p")
    file = current.home / "mlflow.db"
    assert not clients._holds_nothing(file)
    (current.home / "text.db").write_text("no database")
    assert not clients._holds_nothing(current.home / "text.db")
