"""Deletion for real: in a folder, behind a tracking server's proxy, in S3."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from synaug_core.errors import ArtifactError
from synaug_core.refs import Reference, RunRef
from synaug_core.services import retry
from synaug_core.services.locks import exclusive
from synaug_core.services.mlflow.artifacts import PART, exists, put_file, put_folder
from synaug_core.services.mlflow.clients import client
from synaug_core.services.mlflow.runs import adopt, finish, open_run
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import registry
from synaug_core.services.processes import own_identity
from synaug_core.services.retention import facts as run_facts
from synaug_core.services.retention import freeing, leftovers
from synaug_core.services.retention.leftovers import find_leftovers, remove_leftover
from synaug_core.services.retention.rule import VersionFacts
from synaug_core.services.settings import Settings, settings
from tests.s3.faults import Faults
from tests.versions import NAME, add_version

EXPERIMENT = "synaug/freed"


def made(current: Settings, folder: Path, key: str) -> RunRef:
    run = open_run(current, experiment=EXPERIMENT, key=key, stage="retrain", name=key)
    put_folder(run, folder, "things")
    return run


def reference(current: Settings, run: RunRef) -> Reference:
    place = client(current).get_run(run.run_id).info.artifact_uri
    return Reference(uri=f"{place}/things", sha256="0" * 64, run_id=run.run_id)


def check_freeing(current: Settings, folder: Path) -> tuple[RunRef, RunRef]:
    """One of two runs goes with its model; the other, and what lies beside, stays."""
    gone, stays = made(current, folder, "gone"), made(current, folder, "stays")
    mlflow = client(current)
    number = mlflow.get_run(gone.run_id).info.experiment_id
    model = mlflow.create_logged_model(number, name="classifier", source_run_id=gone.run_id)
    mlflow.log_model_artifacts(model.model_id, str(folder))
    models = freeing.models_of(current, [number], {gone.run_id, stays.run_id})
    assert models == {gone.run_id: {model.model_id: model.artifact_location}, stays.run_id: {}}
    places = [mlflow.get_run(gone.run_id).info.artifact_uri, model.artifact_location]
    assert freeing.sizes(current, places) == [12, 12]
    for _ in range(2):  # as after a kill
        freeing.free(current, gone.run_id, {})
        assert not exists(reference(current, gone))
    assert freeing.sizes(current, places) == [0, 12]
    freeing.free(current, gone.run_id, models[gone.run_id])
    assert freeing.sizes(current, places) == [0, 0]
    assert exists(reference(current, stays))
    facts = {run.id: run for run in run_facts.read_runs(current, {EXPERIMENT: number})}
    assert facts[gone.run_id].freed
    assert not facts[stays.run_id].deleted
    return gone, stays


def test_in_a_folder_the_rows_go_too(current: Settings, folder: Path) -> None:
    gone, stays = check_freeing(current, folder)
    place = Path(current.artifact_root or "")
    assert not list(place.rglob(gone.run_id))
    assert freeing.forget(current, [gone.run_id, "never there"], [])
    number = run_facts.experiments(current)[EXPERIMENT]
    assert {run.id for run in run_facts.read_runs(current, {EXPERIMENT: number})} == {stays.run_id}


def test_behind_a_server_the_rows_stay_hidden(server: Settings, folder: Path) -> None:
    gone, _ = check_freeing(server, folder)
    assert not freeing.forget(server, [gone.run_id], [])


def test_in_s3(bucket: Any, current: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAUG_ARTIFACT_ROOT", bucket.at("runs"))
    bucket.put("runs/mine.txt")
    gone, stays = check_freeing(settings(), folder)
    keys = bucket.keys()
    assert not [key for key in keys if gone.run_id in key]
    assert [key for key in keys if stays.run_id in key]
    assert "runs/mine.txt" in keys


def test_facts_of_runs(current: Settings, folder: Path, new_run: Callable[..., RunRef]) -> None:
    first = new_run("first")
    step = new_run("step", parent=first, stage="synthesis")
    mlflow = client(current)
    mlflow.log_metric(step.run_id, "images/cat", 7)
    mlflow.log_metric(step.run_id, "images/dog", 5)
    finish(step)
    finish(first)
    second = new_run("second")
    stand_in = adopt(step.run_id, second)
    freeing.note_thinned(current, first.run_id)
    facts = {run.id: run for run in run_facts.read_runs(current, run_facts.experiments(current))}
    assert facts[step.run_id].images == 12
    assert (facts[stand_in.run_id].reused_from, facts[stand_in.run_id].images) == (step.run_id, 0)
    assert facts[stand_in.run_id].parent == second.run_id
    assert facts[second.run_id].running
    assert facts[first.run_id].thinned is not None
    assert not facts[first.run_id].freed
    number = run_facts.experiments(current)["synaug/test"]
    assert run_facts.running_in(current, number) == second.run_id
    mlflow.set_tag(second.run_id, "synaug.process", f"{os.uname().nodename}/none/1/1")
    finish(second)
    assert run_facts.running_in(current, number) is None


def test_a_run_deleted_by_hand_is_freed_and_stays_deleted(current: Settings, folder: Path) -> None:
    run = made(current, folder, "hand")
    client(current).delete_run(run.run_id)
    freeing.free(current, run.run_id, {})
    found = client(current).get_run(run.run_id)
    assert found.info.lifecycle_stage == "deleted"
    assert Tag.CLEANED in found.data.tags
    assert not exists(reference(current, run))


def test_sweeps_name_their_retrainings(current: Settings, tmp_path: Path, new_run: Callable[..., RunRef]) -> None:
    cell, sweep = new_run("cell"), new_run("sweep", stage="sweep")
    table = tmp_path / "sweep.json"
    table.write_text(f'{{"cells": [{{"run_id": "{cell.run_id}"}}]}}')
    put_file(sweep, table, "sweep.json")
    facts = {run.id: run for run in run_facts.read_runs(current, run_facts.experiments(current))}
    assert facts[sweep.run_id].names == (cell.run_id,)


def test_a_table_that_cannot_be_read_is_not_taken_for_none(
    faults: Faults, bucket: Any, current: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAUG_ARTIFACT_ROOT", bucket.at("runs"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    sweep = open_run(settings(), experiment="synaug/swept", key="k", stage="sweep", name="sweep")
    known = run_facts.experiments(current)
    assert run_facts.read_runs(current, known)[0].names == ()
    table = tmp_path / "sweep.json"
    table.write_text("{}")
    put_file(sweep, table, "sweep.json")
    faults.add("503", 100, "sweep.json")
    with pytest.raises(ArtifactError, match=r"sweep\.json cannot be fetched"):
        run_facts.read_runs(current, known)


def test_versions_that_somebody_else_registered_count_too(current: Settings, new_run: Callable[..., RunRef]) -> None:
    run, mlflow = new_run("mine"), client(current)
    for name in ("it's theirs", "served elsewhere"):
        mlflow.create_registered_model(name)
        mlflow.create_model_version(name, "file:///nowhere", run_id=run.run_id)
    mlflow.set_registered_model_alias("served elsewhere", "live", "1")
    assert run_facts.read_versions(current) == [
        VersionFacts("it's theirs version 1", run.run_id, "", prized=False),
        VersionFacts("served elsewhere version 1", run.run_id, "", prized=True),
    ]
    assert mlflow.get_registered_model("it's theirs").tags == {}  # looking changes nothing


def test_what_fills_several_pages_is_read_to_the_end(
    current: Settings, new_run: Callable[..., RunRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_PAGE_LENGTH", 1)
    runs = {key: new_run(key) for key in ("a", "b", "c")}
    for key, run in runs.items():
        add_version(current, NAME, run, key)
    add_version(current, "synaug-other", runs["a"], "a")
    registry.promote(current, NAME, "2")
    number = run_facts.experiments(current)["synaug/test"]
    assert registry.names(current) == ["synaug-other", NAME]
    assert {v.version for v in registry.versions(current, NAME)} == {"1", "2", "3"}
    assert [(v.label, v.prized) for v in run_facts.read_versions(current)] == [
        ("synaug-other version 1", True),
        *[(f"{NAME} version {n}", n > 1) for n in (1, 2, 3)],
    ]
    found = freeing.models_of(current, [number], [run.run_id for run in runs.values()])
    assert sorted(len(models) for models in found.values()) == [1, 1, 2]
    assert {run.id for run in run_facts.read_runs(current, {"synaug/test": number})} == {
        run.run_id for run in runs.values()
    }


@pytest.fixture
def refusing() -> Iterator[Callable[[int], str]]:
    """Starts a server that answers everything with this status: an address of artifacts there, with 404 in it."""
    started: list[HTTPServer] = []

    def start(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_DELETE(self) -> None:
                self.send_error(status)

            def do_GET(self) -> None:
                self.send_error(status)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        started.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}/api/2.0/mlflow-artifacts/artifacts/404/artifacts"

    yield start
    for web in started:
        web.shutdown()
        web.server_close()


def test_a_refusal_is_not_taken_for_absence(current: Settings, refusing: Callable[[int], str]) -> None:
    with pytest.raises(ArtifactError, match="404/artifacts cannot be deleted: HTTPError: 403"):
        freeing._delete_files(current, refusing(403))
    with pytest.raises(ArtifactError, match="404/artifacts cannot be listed: HTTPError: 403"):
        freeing.sizes(current, [refusing(403)])
    freeing._delete_files(current, refusing(404))
    assert freeing.sizes(current, [refusing(404)]) == [0]


def test_files_that_s3_keeps_are_noticed(
    bucket: Any, current: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    monkeypatch.setenv("SYNAUG_ARTIFACT_ROOT", bucket.at("runs"))
    monkeypatch.setattr(freeing, "_PAUSES", (0.0,))
    # what comes of an answer 200 with an error for each key: MLflow does not read it
    monkeypatch.setattr(S3ArtifactRepository, "delete_artifacts", lambda *_: None)
    run = made(settings(), folder, "kept")
    with pytest.raises(ArtifactError, match="artifacts cannot be deleted: its files are still there"):
        freeing.free(current, run.run_id, {})
    found = client(current).get_run(run.run_id)
    assert (found.info.lifecycle_stage, Tag.CLEANED in found.data.tags) == ("active", False)


def test_half_fetched_copies_go_when_their_process_is_dead(current: Settings) -> None:
    here = own_identity().rsplit("/", 2)[0]
    ages = {own_identity(): 10, f"{here}/{2**22 + 1}/1": 0, "another/host/1/1": 10, "another/host/2/1": 0}
    places = {who: current.cache / f"{PART}{quote(who, safe='')}.{days}" for who, days in ages.items()}
    for who, place in places.items():
        place.mkdir(parents=True)
        when = time.time() - ages[who] * 86_400
        os.utime(place, (when, when))
    old_style = current.cache / ".part-0123"
    old_style.mkdir()
    os.utime(old_style, (1, 1))
    found = {left.path for left in find_leftovers(current, 5, time.time())}
    assert found == {places[f"{here}/{2**22 + 1}/1"], places["another/host/1/1"], old_style}


def test_old_files_that_vanish_meanwhile_are_none(current: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = current.cache / "abc"
    monkeypatch.setattr(leftovers, "_inside", lambda folder: [gone] if folder == current.cache else [])
    assert find_leftovers(current, 0, time.time()) == []


def test_old_files_of_a_home(current: Settings) -> None:
    home, now, old = current.home, 2_000_000_000.0, 1_990_000_000.0
    places = {
        "checkpoints/a.pt": old,
        "checkpoints/b.pt": now,
        "logs/20260101-000000-1.log": old,
        "logs/prefect-server.log": old,
        "cache/abc/file": old,
        "mirrors/used/files/a.png": old,
        "mirrors/used/objects.jsonl": now,
        "mirrors/left/objects.jsonl": old,
        "mirrors/held/objects.jsonl": old,
    }
    for name, when in places.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"12345")
        os.utime(home / name, (when, when))
    os.utime(home / "cache" / "abc", (old, old))
    found = {left.path.relative_to(home).as_posix(): left for left in find_leftovers(current, 30, now)}
    assert set(found) == {
        *("checkpoints/a.pt", "logs/20260101-000000-1.log", "cache/abc", "mirrors/held", "mirrors/left"),
    }
    assert all(left.size == 5 for left in found.values())
    with exclusive(home / "locks" / "mirror-held.lock"):
        assert {name for name, left in found.items() if not remove_leftover(left)} == {"mirrors/held"}
    assert remove_leftover(found["mirrors/held"])
    assert find_leftovers(current, 30, now) == []
