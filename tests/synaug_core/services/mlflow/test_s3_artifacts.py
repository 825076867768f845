"""Artifacts that lie in S3: written there by ourselves, or by a tracking server on our behalf."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from synaug_core.errors import ArtifactError, DataError, UserError
from synaug_core.refs import Reference, RunRef
from synaug_core.services.mlflow.artifacts import PART, digest, exists, fetch, fetch_uri, put_file, put_folder
from synaug_core.services.processes import own_identity
from synaug_core.services.settings import Settings, settings
from tests.mlflow_server import mlflow_server

Make = Callable[..., RunRef]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def stored(run: RunRef, local: Path, path: str) -> Reference:
    put = put_folder if local.is_dir() else put_file
    uri, sha256 = put(run, local, path)
    return Reference(uri=uri, sha256=sha256, run_id=run.run_id)


class TestDirect:
    @pytest.fixture
    def run(self, current: Settings, bucket: Any, monkeypatch: pytest.MonkeyPatch, new_run: Make) -> RunRef:
        monkeypatch.setenv("SYNAUG_ARTIFACT_ROOT", bucket.at("runs"))
        return self.opened()

    def opened(self) -> RunRef:
        from synaug_core.services.mlflow.runs import open_run

        return open_run(settings(), experiment="synaug/s3", key="k", stage="s", name="n")

    def test_round_trip(self, run: RunRef, bucket: Any, file: Path, folder: Path) -> None:
        for local, path in ((file, "a/other.bin"), (folder, "a/model 1")):
            reference = stored(run, local, path)
            assert reference.uri.startswith(bucket.at("runs/"))
            assert exists(reference)
            with ThreadPoolExecutor(4) as pool:
                [found] = set(pool.map(fetch, [reference] * 4))
            assert found == settings().cache / reference.sha256 / Path(path).name
            assert digest(found) == reference.sha256
            assert stored(run, local, path) == reference
        assert len(bucket.keys("runs/")) == 3
        assert not list(settings().cache.glob(".part-*"))

    def test_what_a_killed_process_left_half_fetched_goes(self, run: RunRef, file: Path) -> None:
        here = own_identity().rsplit("/", 2)[0]
        dead, alive, elsewhere = (
            settings().cache / f"{PART}{quote(who, safe='')}.0"
            for who in (f"{here}/{2**22 + 1}/1", own_identity(), "another/host/1/1")
        )
        for place in (dead, alive, elsewhere):
            place.mkdir(parents=True)
            (place / "half").write_bytes(b"half")
        fetch(stored(run, file, "x.bin"))
        assert set(settings().cache.glob(".part-*")) == {alive, elsewhere}
        assert (alive / "half").exists()

    def test_what_is_fetched_is_read_once(
        self, run: RunRef, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        references = [stored(run, file, "a/other.bin"), stored(run, folder, "a/model 1")]
        read: list[Path] = []
        monkeypatch.setattr(
            "synaug_core.services.mlflow.artifacts.digest", lambda path: read.append(path) or digest(path)
        )
        for reference in references:
            fetched = [fetch(reference), fetch(reference)]
            assert len(read) == 1
            assert digest(fetched[1]) == reference.sha256
            read.clear()

    def test_a_large_file_goes_in_parts(self, run: RunRef, bucket: Any, tmp_path: Path) -> None:
        path = tmp_path / "large.bin"
        path.write_bytes(np.random.default_rng(0).bytes(17 * 2**20))
        reference = stored(run, path, "large.bin")
        [key] = bucket.keys("runs/")
        assert bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"].endswith('-3"')
        assert digest(fetch(reference)) == reference.sha256

    def test_missing_and_tampered(self, run: RunRef, bucket: Any, file: Path, tmp_path: Path) -> None:
        reference = stored(run, file, "x.bin")
        [key] = bucket.keys("runs/")
        bucket.put(key, b"other")
        with pytest.raises(ArtifactError, match="is damaged: its checksum is not the recorded one"):
            fetch(reference)
        assert not (settings().cache / reference.sha256).exists()
        bucket.delete(key)
        assert not exists(reference)
        with pytest.raises(ArtifactError, match=r"missing artifact: s3://.*x\.bin"):
            fetch(reference)
        with pytest.raises(ArtifactError, match="missing artifact"):
            fetch_uri(settings(), reference.uri, tmp_path / "there")

    @pytest.mark.parametrize("kind", ["cut", "corrupt", "503", "drop"])
    def test_what_breaks_twice_works_the_third_time(self, run: RunRef, file: Path, faults: Any, kind: str) -> None:
        reference = stored(run, file, "x.bin")
        faults.add(kind, times=2, to="x.bin")
        assert fetch(reference).read_bytes() == file.read_bytes()
        assert not any(f.times for f in faults.plan)

    @pytest.mark.parametrize("kind", ["503", "drop"])
    def test_uploads_too(self, run: RunRef, file: Path, faults: Any, kind: str) -> None:
        faults.add(kind, times=2, to="x.bin", method="PUT")
        assert digest(fetch(stored(run, file, "x.bin"))) == digest(file)
        assert not any(f.times for f in faults.plan)

    def test_wrong_bytes_each_time(self, run: RunRef, file: Path, faults: Any) -> None:
        reference = stored(run, file, "x.bin")
        faults.add("corrupt", times=99, to="x.bin")
        with pytest.raises(ArtifactError, match=r"is damaged: its checksum is not the recorded one|cannot be fetched"):
            fetch(reference)
        assert not (settings().cache / reference.sha256).exists()
        assert not list(settings().cache.glob(".part-*"))

    def test_no_bucket_no_entry_nobody(
        self, current: Settings, bucket: Any, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("SYNAUG_ARTIFACT_ROOT", "s3://no-such-bucket/runs")
        run = self.opened()
        for local in (file, folder):
            with pytest.raises(DataError, match="there is no bucket 'no-such-bucket' for s3://no-such-bucket/runs"):
                stored(run, local, "x")
        lost = Reference(uri="s3://no-such-bucket/runs/x", sha256="0" * 64, run_id="r")
        for ask in (exists, fetch):
            with pytest.raises(DataError, match="there is no bucket 'no-such-bucket'"):
                ask(lost)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")
        lost = Reference(uri=f"{bucket.at('runs')}/x", sha256="0" * 64, run_id="r")
        # MLflow keeps its client for some minutes, and boto3 its session: another endpoint gets a new one.
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"{bucket.server.endpoint}/")
        for ask in (exists, fetch):
            with pytest.raises(UserError, match=r"no access to s3://.*SignatureDoesNotMatch") as caught:
                ask(lost)
            assert "hunter2" not in str(caught.value)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(UserError, match="the server does not answer"):
            stored(run, file, "x")


@pytest.mark.slow
class TestBehindAServer:
    """`mlflow server` with the artifacts in S3: clients know neither the bucket nor its credentials."""

    @pytest.fixture
    def server(
        self, bucket: Any, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Settings]:
        served = ("--serve-artifacts", "--artifacts-destination", bucket.at("served"))
        with mlflow_server(tmp_path, *served, database=empty_database) as address:
            for name in [n for n in os.environ if n.startswith("AWS_") or n == "MLFLOW_S3_ENDPOINT_URL"]:
                monkeypatch.delenv(name)
            monkeypatch.setenv("SYNAUG_HOME", str(tmp_path / "home"))
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            yield settings()

    def test_round_trip(
        self, server: Settings, bucket: Any, file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from synaug_core.services.mlflow.runs import open_run

        run = open_run(server, experiment=f"synaug/{bucket.name}", key="k", stage="s", name="n")
        references = []
        for local, path in ((file, "a/other.bin"), (folder, "a/model")):
            reference = stored(run, local, path)
            assert reference.uri.startswith("mlflow-artifacts:")
            assert exists(reference)
            assert digest(fetch(reference)) == reference.sha256
            references.append(reference)
        keys = bucket.keys("served/")
        assert len(keys) == 3
        assert not exists(references[0].model_copy(update={"uri": f"{references[0].uri}2", "sha256": "1" * 64}))
        bucket.put(next(k for k in keys if k.endswith("other.bin")), b"tampered")
        monkeypatch.setenv("SYNAUG_HOME", str(tmp_path / "another"))
        with pytest.raises(ArtifactError, match="is damaged: its checksum is not the recorded one"):
            fetch(references[0])
        assert digest(fetch(references[1])) == references[1].sha256

        large = tmp_path / "large.bin"
        large.write_bytes(np.random.default_rng(0).bytes(30 * 2**20))
        assert digest(fetch(stored(run, large, "large.bin"))) == digest(large)
