"""Stored results of steps: read as Prefect writes them, in a folder and in S3, and deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synaug_core.errors import SynaugError
from tasks import kept_results
from tasks.kept_results import KeptResult, delete_results, mentions, read_results, speaking_of
from tasks.result_storage import S3Results
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

    monkeypatch.setattr(kept_results, "_storage", lambda: place)
    return left


def test_results_are_read_and_deleted(filled: Any) -> None:
    results = read_results()
    assert {(r.key, r.number, r.owner) for r in results} == {
        *((KEY["a"], 1, "r1"), (KEY["a"], 2, "r2"), (KEY["b"], 1, "r3"), (KEY["c"], 1, "")),
    }
    assert mentions(results) == {"r1": frozenset(), "r2": frozenset(), "r3": {"r1", "r4"}}
    going = speaking_of(results, {"r1"})
    assert [r.key for r in going] == [KEY["b"]]  # the first result of `a` is needed to find the second
    delete_results(going)
    delete_results(going)
    assert filled() == set(FILES) - {KEY["b"]}
    delete_results(speaking_of(read_results(), {"r1", "r2"}))
    assert filled() == {KEY["c"], KEY["d"], "somebody-elses"}


def test_the_highest_numbers_go_first_also_in_s3(bucket: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = S3Results(address=bucket.at("prefect"))
    monkeypatch.setattr(kept_results, "_storage", lambda: place)
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
        monkeypatch.setattr(kept_results, "_storage", lambda place=place: place)
        assert read_results() == []
        delete_results([KeptResult(KEY["a"], KEY["a"], 1, "", frozenset(), 0)])


def test_the_storage_is_prefects_own(tmp_path: Path, home: Path) -> None:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        assert kept_results._storage() == tmp_path
