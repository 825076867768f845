"""Steps and actions on a real Prefect server."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.artifacts import Artifact

import tasks.engine.recording as reporting
import tasks.engine.step as steps
from synaug_core.errors import ArtifactError, DataError
from synaug_core.refs import Reference
from tasks.engine.progress_bus import Event, subscribe
from tasks.engine.step import action, step, this_key

pytestmark = pytest.mark.usefixtures("server")

calls: list[str] = []


@step
def keep(place: str) -> Reference:
    calls.append(this_key())
    path = Path(place)
    path.write_text("kept")
    return Reference(uri=path.as_uri(), sha256="0" * 64, run_id="run")


@action
def look(place: str) -> str:
    calls.append(place)
    return place


@flow
def keep_twice(place: str) -> list[Any]:
    futures = [keep.submit(place), look.submit(place)]
    return [(f.wait(), f.state.name, f.result())[1:] for f in futures]


def test_a_step_is_done_once_until_its_artifact_is_gone_an_action_each_time(tmp_path: Path) -> None:
    calls.clear()
    place = str(tmp_path / "artifact")
    [(state, reference), _] = keep_twice(place)
    assert state == "Completed"
    [(state, again), (looked, _)] = keep_twice(place)
    assert (state, again) == ("Cached", reference)
    assert looked == "Completed"
    Path(place).unlink()
    [(state, again), _] = keep_twice(place)
    assert (state, again) == ("Completed", reference)
    [(state, _), _] = keep_twice(place)
    assert state == "Cached"
    assert calls.count(place) == 4
    keys = [c for c in calls if c != place]
    assert len(keys) == 2
    assert keys[0] == keys[1], "the run and the checkpoint keep the name that they had"


tries = itertools.count()


@step
def stumble(error: str) -> bool:
    next(tries)
    raise {"disk": OSError, "data": DataError, "lost": ArtifactError, "bug": KeyError}[error](error)


@flow
def stumbling(error: str) -> bool:
    return stumble(error)


@pytest.mark.parametrize(("error", "wanted"), [("disk", 3), ("data", 1), ("lost", 1), ("bug", 1)])
def test_a_step_is_tried_again_where_that_can_help(error: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stumble, "retry_delay_seconds", [0.0, 0.0])
    before = next(tries)
    with pytest.raises((OSError, DataError, ArtifactError, KeyError)):
        stumbling(error)
    assert next(tries) - before - 1 == wanted
    assert steps._DELAYS == [2.0, 10.0]


@action
def long_work() -> None:
    tell = reporting.progress("generator", "A & B")
    for done in range(1, 6):
        tell(done, 5, loss=1.0 / done)


@flow
def working() -> None:
    long_work()


def test_progress_reaches_the_bus_and_the_prefect_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "_UI_SECONDS", 0.0)
    monkeypatch.setattr(reporting, "_BUS_SECONDS", math.inf)  # only the last one has to come
    seen: list[Event] = []
    unsubscribe = subscribe(seen.append)
    working()
    unsubscribe()
    assert [(e.stage, e.name, e.done, e.total) for e in seen] == [("generator", "A & B", 5, 5)]
    assert seen[0].values == {"loss": 0.2}
    artifact: Any = Artifact.get(key="generator-a-b")
    assert (artifact.type, float(str(artifact.data))) == ("progress", 100.0)
