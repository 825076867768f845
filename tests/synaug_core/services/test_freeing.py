"""Deletion for real: in a folder, behind a tracking server's proxy, in S3."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synaug_core.refs import Reference, RunRef
from synaug_core.services import freeing, run_facts
from synaug_core.services.artifacts import exists, put_file, put_folder
from synaug_core.services.clients import client
from synaug_core.services.leftovers import find_leftovers, remove_leftover
from synaug_core.services.locks import exclusive
from synaug_core.services.settings import Settings, settings
from synaug_core.services.tracking import adopt, finish, open_run


def experiment(current: Settings) -> str:
    """The server's database is also the template of the others': each has a name of its own."""
    return "synaug/freed" if current.has_local_tracking else "synaug/served"


def made(current: Settings, folder: Path, key: str) -> RunRef:
    run = open_run(current, experiment=experiment(current), key=key, stage="retrain", name=key)
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
    facts = {run.id: run for run in run_facts.read_runs(current, {experiment(current): number})}
    assert facts[gone.run_id].freed
    assert not facts[stays.run_id].deleted
    return gone, stays


def test_in_a_folder_the_rows_go_too(current: Settings, folder: Path) -> None:
    gone, stays = check_freeing(current, folder)
    place = Path(current.artifact_root or "")
    assert not list(place.rglob(gone.run_id))
    assert freeing.forget(current, [gone.run_id, "never there"], [])
    number = run_facts.experiments(current)["synaug/freed"]
    assert {run.id for run in run_facts.read_runs(current, {"synaug/freed": number})} == {stays.run_id}


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
    assert run_facts.CLEANED in found.data.tags
    assert not exists(reference(current, run))


def test_sweeps_name_their_retrainings(current: Settings, tmp_path: Path, new_run: Callable[..., RunRef]) -> None:
    cell, sweep = new_run("cell"), new_run("sweep", stage="sweep")
    table = tmp_path / "sweep.json"
    table.write_text(f'{{"cells": [{{"run_id": "{cell.run_id}"}}]}}')
    put_file(sweep, table, "sweep.json")
    facts = {run.id: run for run in run_facts.read_runs(current, run_facts.experiments(current))}
    assert facts[sweep.run_id].names == (cell.run_id,)


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
