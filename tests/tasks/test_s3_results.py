"""Prefect's results in S3: on a real Prefect server and a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import ArtifactError, UserError
from tasks.result_storage import S3Results, save_result_storage


@pytest.fixture
def results(bucket: Any) -> S3Results:
    return S3Results(address=bucket.at("results"))


def test_written_and_read(results: S3Results, bucket: Any, home: Path) -> None:
    address = results.write_path("abc-1", b"{}")
    assert address == bucket.at("results/abc-1")
    assert bucket.keys() == ["results/abc-1"]
    assert results.read_path("abc-1") == results.read_path(address) == b"{}"
    assert S3Results(address=bucket.at()).read_path("results/abc-1") == b"{}"


@pytest.mark.parametrize("kind", ["cut", "short", "corrupt", "503"])
def test_what_comes_damaged_is_asked_for_again(
    results: S3Results, bucket: Any, home: Path, faults: Any, kind: str
) -> None:
    content = b'{"result": 1}' * 50
    results.write_path("abc-1", content)
    faults.add(kind, 2, "abc-1")
    assert results.read_path("abc-1") == content
    assert not faults.plan[-1].times
    faults.add("corrupt", 100, "abc-1")
    with pytest.raises(ArtifactError, match="other bytes than were written"):
        results.read_path("abc-1")


def test_what_is_not_there(results: S3Results, home: Path, bucket: Any) -> None:
    with pytest.raises(FileNotFoundError, match="there is no object s3://"):
        results.read_path("nothing")
    with pytest.raises(UserError, match="there is no bucket 'no-such-bucket'"):
        S3Results(address="s3://no-such-bucket").write_path("x", b"")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "s3://other/x", "a\nb"])
def test_names_stay_below_the_address(results: S3Results, bucket: Any, home: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an object below"):
        results.write_path(name, b"x")
    assert bucket.keys() == []


@pytest.mark.slow
def test_a_step_is_found_again_from_s3(server: str, bucket: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow, task
    from prefect.settings import PREFECT_DEFAULT_RESULT_STORAGE_BLOCK, temporary_settings

    slug = save_result_storage(bucket.at("results"))
    assert save_result_storage(bucket.at("results")) == slug == "synaug-s3/results"
    calls: list[int] = []

    @task(
        persist_result=True, cache_key_fn=lambda context, arguments: f"key-{arguments['n']}", result_serializer="json"
    )
    def double(n: int) -> int:
        calls.append(n)
        return 2 * n

    @flow(persist_result=False)
    def both() -> list[int]:
        return [f.result() for f in [double.submit(n) for n in (1, 2)]]

    with temporary_settings({PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: slug}):
        assert both() == both() == [2, 4]
        assert sorted(calls) == [1, 2]
        assert sorted(bucket.keys()) == ["results/key-1", "results/key-2"]
        bucket.delete("results/key-1")
        assert both() == [2, 4]
    assert sorted(calls) == [1, 1, 2]
    body = bucket.client.get_object(Bucket=bucket.name, Key="results/key-2")["Body"].read()
    assert b"json" in body
    assert bucket.server.secret.encode() not in body
