"""A home that an earlier version left behind opens, and answers as it did then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Synaug = Callable[..., Any]


@pytest.fixture
def run_ids(old_home: Path) -> dict[str, str]:
    return json.loads((old_home / "runs.json").read_text())


def assert_predicts_as_before(synaug: Synaug, old_home: Path) -> None:
    images = sorted((old_home / "images").iterdir())
    for model, answers in json.loads((old_home / "predictions.json").read_text()).items():
        code, out, err = synaug("predict", model, *images, "--json", "--device", "cpu")
        assert code == 0, err
        for answer, before in zip(json.loads(out), answers, strict=True):
            assert Path(answer["file"]).name == before["file"]
            assert answer["class"] == before["class"]
            assert answer["probabilities"] == pytest.approx(before["probabilities"], abs=1e-6)


def test_its_models_predict_and_keep_their_history(synaug: Synaug, old_home: Path) -> None:
    assert_predicts_as_before(synaug, old_home)
    code, out, err = synaug("models", "list")
    assert code == 0, err
    assert "champion" in out
    assert "previous" in out
    code, out, err = synaug("models", "history", "synaug-digits", "--json")
    assert code == 0, err
    assert json.loads(out) == json.loads((old_home / "history.json").read_text())
    assert synaug("models", "rollback", "synaug-digits", "--expect", "2").code == 0
    assert json.loads(synaug("models", "history", "synaug-digits", "--json").out)[0]["champion"] == "1"


def test_its_retrainings_are_reported_and_exported(
    synaug: Synaug, old_home: Path, run_ids: dict[str, str], tmp_path: Path
) -> None:
    code, out, err = synaug("report", run_ids["first"])
    assert code == 0, err
    assert out == (old_home / "report.txt").read_text()
    page = tmp_path / "page.html"
    assert synaug("report", run_ids["first"][:8], "--page", page).code == 0
    assert "balanced accuracy" in page.read_text().lower()
    code, _, err = synaug("export", run_ids["first"], tmp_path / "exported")
    assert code == 0, err
    names = {path.relative_to(tmp_path / "exported").as_posix() for path in (tmp_path / "exported").rglob("*")}
    assert {"dataset/images/test/images.csv", "comparison/comparison.json"} <= names
    assert sum(name.endswith(".png") and "images/synthetic" in name for name in names) > 100
    assert {
        f"repetition/{arm}-{n}/predictions/test.csv" for arm in ("original", "synthetic") for n in range(4)
    } <= names


def test_garbage_collection_deletes_what_no_model_needs(
    synaug: Synaug, old_home: Path, run_ids: dict[str, str]
) -> None:
    code, out, err = synaug("gc", "--keep", 0, "--days", 0)
    assert code == 0, err
    assert "nothing was deleted" in out
    assert synaug("report", run_ids["unregistered"]).code == 0
    code, out, err = synaug("gc", "--keep", 0, "--days", 0, "--yes")
    assert code == 0, err
    assert "7 runs deleted" in out
    assert synaug("report", run_ids["unregistered"]).code == 2
    assert synaug("report", run_ids["second"]).code == 0
    assert_predicts_as_before(synaug, old_home)
