from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synaug_core.errors import ArtifactError
from synaug_core.refs import Reference, RunRef
from synaug_core.services.mlflow import artifacts
from synaug_core.services.mlflow.artifacts import digest, exists, fetch, fetch_uri, put_file, put_folder
from synaug_core.services.mlflow.clients import client_of
from synaug_core.services.settings import Settings

Make = Callable[..., RunRef]


def test_a_file_comes_back_under_the_name_it_was_given(new_run: Make, file: Path):
    run = new_run("p")
    uri, sha256 = put_file(run, file, "images/train.parquet")
    reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
    assert exists(reference)
    found = fetch(reference)
    assert found.name == "train.parquet"
    assert found.read_bytes() == file.read_bytes()
    assert not found.is_symlink()
    assert sha256 == digest(file)


def test_a_folder_comes_back(new_run: Make, folder: Path):
    run = new_run("p")
    uri, sha256 = put_folder(run, folder, "generator/group 1")
    reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
    assert exists(reference)
    found = fetch(reference)
    assert (found / "deep" / "weights.bin").read_bytes() == b"w" * 10
    assert put_folder(run, folder, "generator/group 1") == (uri, sha256)


def test_a_folder_s_digest_says_names_and_bytes(folder: Path, tmp_path: Path):
    before = digest(folder)
    assert digest(Path(shutil.copytree(folder, tmp_path / "other"))) == before
    (folder / "spec.json").rename(folder / "spec2.json")
    assert digest(folder) != before


def test_missing_and_changed_artifacts_are_named(new_run: Make, file: Path):
    run = new_run("p")
    uri, sha256 = put_file(run, file, "local.bin")
    reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
    path = fetch(reference)
    path.write_bytes(b"other")
    assert exists(reference)
    with pytest.raises(ArtifactError, match=r"local\.bin is damaged: its checksum is not the recorded one"):
        fetch(reference)
    path.unlink()
    assert not exists(reference)
    with pytest.raises(ArtifactError, match=r"missing artifact: .*local\.bin"):
        fetch(reference)


def test_a_file_added_to_a_folder_is_noticed(new_run: Make, folder: Path):
    run = new_run("p")
    uri, sha256 = put_folder(run, folder, "model")
    reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
    (fetch(reference) / "extra").write_text("x")
    with pytest.raises(ArtifactError, match="checksum is not the recorded one"):
        fetch(reference)


def test_unchanged_bytes_are_read_once(new_run: Make, file: Path, monkeypatch: pytest.MonkeyPatch):
    run = new_run("p")
    uri, sha256 = put_file(run, file, "local.bin")
    reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
    fetch(reference)
    monkeypatch.setattr(artifacts, "digest", lambda path: pytest.fail("read again"))
    fetch(reference)


def test_storing_asks_once_where_the_run_is(new_run: Make, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    run = new_run("p")
    mlflow = client_of(run)
    real, asked = mlflow.get_run, []
    monkeypatch.setattr(mlflow, "get_run", lambda run_id: asked.append(run_id) or real(run_id))
    root = real(run.run_id).info.artifact_uri
    assert put_file(run, file, "images/x.bin")[0] == f"{root}/images/x.bin"
    assert put_folder(run, folder, "model")[0] == f"{root}/model"
    assert asked == [run.run_id]


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ""])
def test_nothing_is_stored_outside_the_run(new_run: Make, file: Path, path: str):
    with pytest.raises(ValueError, match="within the run"):
        put_file(new_run("p"), file, path)


def test_a_copy_by_address_alone(current: Settings, new_run: Make, folder: Path, file: Path, tmp_path: Path):
    run = new_run("p")
    uri, _ = put_folder(run, folder, "model")
    assert digest(fetch_uri(current, uri, tmp_path / "there")) == digest(folder)
    uri, _ = put_file(run, file, "local.bin")
    assert fetch_uri(current, uri, tmp_path / "there").read_bytes() == file.read_bytes()
    with pytest.raises(ArtifactError, match="missing artifact"):
        fetch_uri(current, uri + "x", tmp_path / "there")


def test_an_unreachable_store_is_an_error_without_secrets(current: Settings):
    lost = Reference(uri="nowhere://me:hunter2@host/a/b", sha256="0" * 64, run_id="r")
    with pytest.raises(ArtifactError, match="cannot be fetched") as caught:
        fetch(lost)
    assert "hunter2" not in str(caught.value)
    assert not list(current.cache.glob(".part-*"))


@pytest.mark.slow
class TestBehindAServer:
    def test_round_trip(self, server: Settings, file: Path, folder: Path):
        from synaug_core.services.mlflow.links import link_to
        from synaug_core.services.mlflow.runs import finish, open_run

        run = open_run(server, experiment="synaug/remote", key="k", stage="s", name="n")
        assert link_to(run).startswith(f"{server.tracking_uri}/#/experiments/")
        for put, local, path in ((put_file, file, "a/other.bin"), (put_folder, folder, "a/model")):
            uri, sha256 = put(run, local, path)
            assert uri.startswith("mlflow-artifacts:")
            reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
            assert exists(reference)
            with ThreadPoolExecutor(4) as pool:
                found = set(pool.map(fetch, [reference] * 4))
            assert found == {server.cache / sha256 / Path(path).name}
            assert digest(found.pop()) == sha256
        finish(run)

    def test_missing_and_tampered(self, server: Settings, file: Path):
        from synaug_core.services.mlflow.runs import open_run

        run = open_run(server, experiment="synaug/remote", key="k2", stage="s", name="n")
        uri, sha256 = put_file(run, file, "x.bin")
        missing = Reference(uri=uri + "2", sha256=sha256, run_id=run.run_id)
        assert not exists(missing)
        with pytest.raises(ArtifactError, match=r"missing artifact: .*x\.bin2"):
            fetch(missing)
        other = Reference(uri=uri, sha256="1" * 64, run_id=run.run_id)
        with pytest.raises(ArtifactError, match="checksum is not the recorded one"):
            fetch(other)
        assert not (server.cache / ("1" * 64)).exists()
        assert not list(server.cache.glob(".part-*"))

    def test_a_damaged_copy_is_noticed(self, server: Settings, file: Path):
        from synaug_core.services.mlflow.runs import open_run

        run = open_run(server, experiment="synaug/remote", key="k3", stage="s", name="n")
        uri, sha256 = put_file(run, file, "y.bin")
        reference = Reference(uri=uri, sha256=sha256, run_id=run.run_id)
        fetch(reference).write_bytes(b"damaged")
        assert fetch(reference).read_bytes() == file.read_bytes()
