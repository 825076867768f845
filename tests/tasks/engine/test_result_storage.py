"""Stored results of steps as files, and in S3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import ArtifactError, SynaugError, UserError
from tasks.engine import result_storage
from tasks.engine.result_storage import (
    S3Results,
    StoredResult,
    delete_results,
    read_results,
    results_naming,
    runs_named_together,
    save_result_storage,
)
from tests.s3.faults import Faults

KEY = {letter: letter * 64 for letter in "abcd"}


def content(value: Any) -> bytes:
    return json.dumps({"metadata": {"storage_key": "k"}, "result": json.dumps(value)}).encode()


def reference(run: str, **inner: Any) -> Any:
    return {"__class__": "synaug_core.refs.Reference", "data": {"uri": "u", "run_id": run, **inner}}


FILES = {
    KEY["a"]: content(reference("r1")),
    f"{KEY['a']}-2": content(reference("r2")),
    KEY["b"]: content(reference("r3", best={"run_id": "r1", "classifier": {"run_id": "r4"}})),
    KEY["c"]: content(True),
    KEY["d"]: b"half writ",
    "somebody-elses": content(reference("r1")),
}


@pytest.fixture(params=["folder", "s3"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names that are left, read from the store itself."""
    if request.param == "folder":
        place: Any = tmp_path / "storage"
        place.mkdir()
        for name, body in FILES.items():
            (place / name).write_bytes(body)

        def left() -> set[str]:
            return {path.name for path in place.iterdir()}
    else:
        bucket = request.getfixturevalue("bucket")
        place = S3Results(address=bucket.at("prefect"))
        for name, body in FILES.items():
            bucket.put(f"prefect/{name}", body)

        def left() -> set[str]:
            return {key.removeprefix("prefect/") for key in bucket.keys("prefect/")}

    monkeypatch.setattr(result_storage, "_storage", lambda: place)
    return left


def test_results_are_read_and_deleted(filled: Any) -> None:
    results = read_results()
    assert {(r.key, r.number, r.owner) for r in results} == {
        *((KEY["a"], 1, "r1"), (KEY["a"], 2, "r2"), (KEY["b"], 1, "r3"), (KEY["c"], 1, "")),
    }
    assert runs_named_together(results) == {"r1": frozenset(), "r2": frozenset(), "r3": {"r1", "r4"}}
    going = results_naming(results, {"r1"})
    assert [r.key for r in going] == [KEY["b"]]  # the first result of `a` is needed to find the second
    delete_results(going)
    delete_results(going)
    assert filled() == set(FILES) - {KEY["b"]}
    delete_results(results_naming(read_results(), {"r1", "r2"}))
    assert filled() == {KEY["c"], KEY["d"], "somebody-elses"}


def test_the_highest_numbers_go_first_also_in_s3(bucket: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = S3Results(address=bucket.at("prefect"))
    monkeypatch.setattr(result_storage, "_storage", lambda: place)
    names = [f"{KEY[letter]}{end}" for letter in "abcd" for end in ("", "-2", "-3")]
    for name in names:
        bucket.put(f"prefect/{name}", content(reference("r1")))
    faults.add("503", 1, f"{KEY['a']}-2", method="DELETE")
    with pytest.raises(SynaugError, match="SlowDown"):
        delete_results(read_results())
    left = {key.removeprefix("prefect/") for key in bucket.keys("prefect/")}
    assert not [name for name in left if name.endswith("-3")]
    assert {name for name in names if "-" not in name} <= left


def test_a_store_without_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path / "none", None):
        monkeypatch.setattr(result_storage, "_storage", lambda place=place: place)
        assert read_results() == []
        delete_results([StoredResult(KEY["a"], KEY["a"], 1, "", frozenset(), 0)])


def test_the_storage_is_prefects_own(tmp_path: Path, home: Path) -> None:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        assert result_storage._storage() == tmp_path


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
    with pytest.raises(ArtifactError, match="checksum is not the recorded one"):
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
