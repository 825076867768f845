"""Secrets of the environment are in no file, database, log, output or error that a retraining or a failure leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.environments import without_services

MARK = "pl4nted"
"""Part of every planted secret, so that any part of one is found, in whatever form it was written around it."""
PLANTED = {
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK.upper()}EXAMPLE01",
    "AWS_SECRET_ACCESS_KEY": f"wJalr{MARK}/K7MDENG+bPxRfiCY",
    "AWS_SESSION_TOKEN": f"FwoGZX{MARK}Ivsession==",
    "PREFECT_API_KEY": f"pnu_{MARK}prefectkey",
    "MLFLOW_TRACKING_PASSWORD": f"pass{MARK}word",
    "SYNAUG_SERVE_TOKEN": f"serve{MARK}token-0123456789abcdef",
    "HF_TOKEN": f"hf_{MARK}hub",
    "GITHUB_TOKEN": f"ghp_{MARK}token",
}
USER = "somebody"
TINY = {
    "name": "tiny",
    "data": {
        "source": "digits",
        "classes": [0, 1, 2],
        "long_tail": 8,
        "image_size": 16,
        "duplicates": {"related": "pixels"},
    },
    "arms": ["original", "combined"],
    "repetitions": 1,
    "generator": {"steps": 10, "evaluate_every": 5, "width": 8},
    "synthesis": {"filters": {"near_duplicates": None}},
    "classifier": {"steps": 10, "evaluate_every": 5, "width": 8},
    "tuning": {"trials": 0},
    "evaluation": {"resamples": 100},
}
NOBODY = "127.0.0.1:9"


@dataclass
class Place:
    """Where command lines ran, and all that they said."""

    folder: Path
    said: list[str] = field(default_factory=list)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return Place(tmp_path)


@pytest.fixture
def synaug(place: Place, root: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command line with the secrets in its environment, and more variables."""
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://{NOBODY}")
    own = {
        "SYNAUG_HOME": str(place.folder / "home"),
        "MLFLOW_TRACKING_USERNAME": USER,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    own["PYTHONPATH"] = os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p)

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", *arguments],
            env={**without_services(), **closed, **own, **PLANTED, **more}, cwd=place.folder,
            capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        place.said += [done.stdout, done.stderr]
        return done

    return call


def leaks(folder: Path, said: list[str]) -> Iterator[str]:
    """Where the mark is found, in any case, and as UTF-16."""
    forms = [MARK.encode(), MARK.encode("utf-16-le")]
    texts: Mapping[str, bytes] = {f"output {n}": text.encode() for n, text in enumerate(said)}
    files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    for name, data in {**texts, **files}.items():
        for form in forms:
            at = data.lower().find(form)
            if at >= 0:
                yield f"{name}: {data[max(0, at - 80) : at + 40]!r}"


@pytest.mark.slow
def test_a_retraining_leaves_no_secret_anywhere(
    synaug: Callable[..., subprocess.CompletedProcess[str]], place: Place
) -> None:
    done = synaug("run", "tiny.yaml", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert (place.folder / "out.json").exists()
    assert len(list((place.folder / "home").rglob("*"))) > 20
    assert synaug("models", "list").returncode == 0
    assert synaug("doctor").returncode in (0, 1, 2)
    assert list(leaks(place.folder, place.said)) == []


@pytest.mark.slow
def test_failures_leave_no_secret_anywhere(
    synaug: Callable[..., subprocess.CompletedProcess[str]], place: Place
) -> None:
    password = quote(PLANTED["MLFLOW_TRACKING_PASSWORD"])
    address = f"http://{USER}:{password}@{NOBODY}"
    (place.folder / "broken.npz").write_bytes(b"PK")
    failing = [
        synaug("run", "tiny.yaml", MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"),
        synaug("run", "tiny.yaml", PREFECT_API_URL=f"{address}/api"),
        synaug("run", f"s3://{PLANTED['AWS_ACCESS_KEY_ID']}:{password}@bucket/prefix"),
        synaug("run", address),
        synaug("run", "s3://bucket/prefix", MLFLOW_S3_ENDPOINT_URL=address, AWS_MAX_ATTEMPTS="1"),
        synaug("run", "broken.npz"),
        synaug("models", "list", MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"),
    ]
    for done in failing:
        assert done.returncode in (1, 2), done.args
        assert "Traceback" not in done.stderr, done.stderr
    assert list(leaks(place.folder, place.said)) == []


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    assert all(MARK in secret.lower() for secret in PLANTED.values())
    (tmp_path / "log").write_bytes(b"\0\1key=" + PLANTED["AWS_ACCESS_KEY_ID"].encode())
    assert len(list(leaks(tmp_path, [PLANTED["HF_TOKEN"]]))) == 2
