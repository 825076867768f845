"""Several machines change one champion at once: here processes without a common lock, on one MLflow."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from synaug_core.errors import SynaugError, UserError
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import open_run
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import promotion_log, registry, versions
from synaug_core.services.models.registry import ChampionChangedError, champion_periods, current, promote, rollback
from synaug_core.services.settings import Settings
from tests.mlflow_server import copy_database, embedded_home
from tests.versions import NAME, add_version


@pytest.fixture(scope="module")
def database_of_four(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    home = tmp_path_factory.mktemp("four")
    with pytest.MonkeyPatch.context() as patch:
        made = embedded_home(home, empty_database, patch)
        for key in ("one", "two", "three", "four"):
            run = open_run(made, experiment="synaug/test", key=key, stage="retrain", name=key)
            add_version(made, NAME, run, key)
        promote(made, NAME, "1")
    return home / "mlflow.db"


@pytest.fixture
def four(embedded: Settings, database_of_four: Path) -> Settings:
    """Four versions, and the first is champion."""
    copy_database(database_of_four, embedded.home / "mlflow.db")
    return embedded


def aliases(settings: Settings) -> dict[str, str]:
    return versions.aliases_of(client(settings), NAME)


def rows(settings: Settings) -> list[tuple[str | None, str, str]]:
    return [(r.version, r.action, r.by) for r in champion_periods(settings, NAME)]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The calls' results or errors, begun together."""
    start = Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return call()
        except SynaugError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


@pytest.mark.parametrize("round_", range(5))
def test_of_several_promotions_over_one_champion_one_happens(four: Settings, round_: int) -> None:
    versions = ("2", "3", "4")
    calls = [lambda v=v: promote(four, NAME, v, expected="1") for v in versions]
    done = at_once(*calls)
    losers = [d for d in done if isinstance(d, ChampionChangedError)]
    [winner] = [d for d in done if not isinstance(d, Exception)]
    assert len(losers) == 2
    assert all(f"version {winner.version} " in str(e) and len(str(e).splitlines()) == 1 for e in losers)
    assert all("was not promoted" in str(e) for e in losers)
    champion = current(four, NAME)
    assert champion is not None
    assert champion.version == winner.version
    assert [r[0] for r in rows(four)] == [winner.version, "1"]
    assert aliases(four)["previous"] == "1"


def test_of_two_rollbacks_at_once_the_second_does_not_undo_the_first(four: Settings) -> None:
    promote(four, NAME, "2")
    done = at_once(*[lambda: rollback(four, NAME, expected="2")] * 2)
    assert sorted(type(d).__name__ for d in done) == ["ChampionChangedError", "ModelVersion"]
    assert aliases(four) == {"champion": "1", "previous": "2", "challenger": "4"}


def test_the_same_promotion_twice_at_once_is_done_once(four: Settings) -> None:
    done = at_once(*[lambda: promote(four, NAME, "3", expected="1")] * 3)
    assert [d.version for d in done] == ["3"] * 3
    assert rows(four) == [("3", "promote", "the gate"), ("1", "promote", "the gate")]


def test_many_changes_without_expectation_leave_a_true_history(four: Settings) -> None:
    calls = [lambda v=v: promote(four, NAME, v) for v in ("2", "3", "4", "1", "2", "3")]
    done = at_once(*calls, *[lambda: rollback(four, NAME)] * 2)
    assert all(isinstance(d, (registry.ModelVersion, ChampionChangedError, UserError)) for d in done)
    found = champion_periods(four, NAME)
    assert aliases(four)["champion"] == found[0].version
    assert {r.action for r in found} <= {"promote", "rollback"}
    assert all(later.since == earlier.until for later, earlier in itertools.pairwise(found))


WRITER = """
import sys
from synaug_core.errors import SynaugError
from synaug_core.services.models.registry import promote
from synaug_core.services.settings import settings
print("ready", flush=True)
sys.stdin.readline()
try:
    print(promote(settings(), sys.argv[1], sys.argv[2], expected=sys.argv[3]).version)
except SynaugError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def machines(server: Settings, tmp_path: Path, root: Path) -> Iterator[Callable[..., list[str]]]:
    """Runs promotions in processes that share nothing but the MLflow server."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str, versions: tuple[str, ...], expected: str) -> list[str]:
        for number, version in enumerate(versions):
            environment = {"SYNAUG_HOME": str(tmp_path / f"machine{number}"), "PATH": "/usr/bin:/bin"}
            environment["MLFLOW_TRACKING_URI"] = server.tracking_uri
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, name, version, expected],
                    cwd=root,
                    env=environment,
                    text=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [process.communicate(timeout=120)[0].strip() for process in started]

    yield run
    for process in started:
        process.kill()


@pytest.mark.slow
def test_machines_with_nothing_in_common_but_a_server(server: Settings, machines: Callable[..., list[str]]) -> None:
    name = "synaug-machines"
    for key in ("one", "two", "three"):
        run = open_run(server, experiment="synaug/machines", key=key, stage="s", name=key)
        add_version(server, name, run, key)
    promote(server, name, "1")
    said = machines(name, ("2", "3", "2", "3"), "1")
    champion = current(server, name)
    assert champion is not None
    assert champion.version in ("2", "3")
    for version, line in zip(("2", "3", "2", "3"), said, strict=True):
        assert line == version if version == champion.version else line.startswith("ChampionChangedError: ")
    assert [r.version for r in champion_periods(server, name)] == [champion.version, "1"]


class Died(BaseException):
    """A machine that stops where it is."""


@pytest.mark.parametrize("step", ["previous", "champion", "finish"])
def test_a_machine_that_dies_halfway_holds_nobody_up(
    four: Settings, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = versions.point

    def dying(mlflow: Any, name: str, alias: Any, version: str | None) -> None:
        if alias == step:
            raise Died
        kept(mlflow, name, alias, version)

    def dying_finish(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(versions, "point", dying)
        if step == "finish":
            patch.setattr(promotion_log.PromotionLog, "finish", dying_finish)
        with pytest.raises(Died):
            promote(four, NAME, "2", expected="1")
    assert rows(four)[0] == ("2", "promote", "the gate")  # decided, and perhaps not yet visible
    promoted = promote(four, NAME, "2", expected="1")  # what the retraining does when it is run again
    assert promoted.aliases == ("champion",)
    assert aliases(four) == {"champion": "2", "previous": "1", "challenger": "4"}
    assert promote(four, NAME, "3", expected="2").version == "3"
    assert [r[0] for r in rows(four)] == ["3", "2", "1"]


def test_a_slow_machine_does_not_bring_an_old_champion_back(four: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, others = versions.point, [lambda: promote(four, NAME, "3", expected="2")]

    def slow(mlflow: Any, name: str, alias: Any, version: str | None) -> None:
        if alias == "champion" and others:
            others.pop()()  # meanwhile another machine finishes this promotion and makes one of its own
            mlflow.set_registered_model_alias(name, alias, version)
        else:
            kept(mlflow, name, alias, version)

    monkeypatch.setattr(versions, "point", slow)
    promote(four, NAME, "2", expected="1")
    assert aliases(four)["champion"] == "3"
    assert [r[0] for r in rows(four)] == ["3", "2", "1"]


def test_an_alias_moved_in_mlflow_is_respected_and_noted(four: Settings) -> None:
    client(four).set_registered_model_alias(NAME, "champion", "4")
    assert rows(four)[0] == ("4", "found", "somebody")
    with pytest.raises(ChampionChangedError, match="version 4 is champion, not version 1 as expected"):
        promote(four, NAME, "2", expected="1")
    promote(four, NAME, "2", expected="4")
    assert rows(four) == [
        ("2", "promote", "the gate"),
        ("4", "found", "somebody"),
        ("1", "promote", "the gate"),
    ]
    assert aliases(four)["previous"] == "4"


def test_a_deleted_champion_is_none(four: Settings) -> None:
    client(four).delete_model_version(NAME, "1")
    assert rows(four)[0] == (None, "found", "somebody")
    with pytest.raises(ChampionChangedError, match="no version is champion, not version 1 as expected"):
        promote(four, NAME, "2", expected="1")
    assert promote(four, NAME, "2", expected=None).version == "2"
    with pytest.raises(UserError, match="no previous champion"):
        rollback(four, NAME)


def test_the_history_says_when_and_why(four: Settings) -> None:
    registry.annotate(four, NAME, "2", {"synaug.decision": "better on the test images"})
    promote(four, NAME, "2")
    rollback(four, NAME, why="worse on the ward; password=hunter2")
    last, middle, first = champion_periods(four, NAME)
    assert (first.version, first.since is not None) == ("1", True)
    assert (middle.version, middle.why, middle.since) == ("2", "better on the test images", first.until)
    assert (last.version, last.action, last.by, last.until) == ("1", "rollback", "a person", None)
    assert last.why == "worse on the ward; password=***"
    assert middle.until == last.since


def test_a_model_from_elsewhere_gets_its_history(embedded: Settings, new_run: Callable[..., RunRef]) -> None:
    mlflow, run = client(embedded), new_run("x")
    mlflow.create_registered_model(NAME)
    for _ in range(2):
        mlflow.create_model_version(NAME, source="file:///nowhere", run_id=run.run_id)
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    promote(embedded, NAME, "2", expected="1")
    assert rows(embedded) == [("2", "promote", "the gate"), ("1", "found", "somebody")]
    assert champion_periods(embedded, NAME)[1].why == "it was champion before this list began"


def test_a_deleted_history_comes_back_and_a_lost_one_is_said(four: Settings) -> None:
    mlflow = client(four)
    run_id = mlflow.get_registered_model(NAME).tags[Tag.PROMOTION_LOG]
    mlflow.delete_run(run_id)
    assert promote(four, NAME, "2").version == "2"
    assert mlflow.get_run(run_id).info.status == "FINISHED"
    mlflow.set_registered_model_tag(NAME, Tag.PROMOTION_LOG, "0" * 32)
    with pytest.raises(SynaugError, match=r"the MLflow run 0+ with the history of promotions is gone; delete the tag"):
        promote(four, NAME, "3")


def test_two_machines_that_register_one_key_agree(
    four: Settings, new_run: Callable[..., RunRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    from synaug_core.services.models import registry as module

    answers = [None]  # the other machine's version is not there yet when this one looks
    kept = module._with_key
    first = add_version(four, NAME, new_run("five"), "five")

    def blind(*arguments: Any) -> Any:
        return answers.pop() if answers else kept(*arguments)

    monkeypatch.setattr(module, "_with_key", blind)
    second = add_version(four, NAME, new_run("five again"), "five")
    assert second.version == first.version
    assert len(registry.history(four, NAME)) == 5
    assert json.dumps(aliases(four)) == json.dumps({"challenger": "5", "champion": "1"})
