"""The shipped examples, and bare data, run through on the real sets: few steps, everything else as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synaug_core.config.arms import DEFAULT_ARMS

pytestmark = pytest.mark.slow

_FEW = ["generator.steps=12", "classifier.steps=10", "repetitions=1", "tuning.trials=2", "evaluation.resamples=200"]
_DROP = "data.small_classes=drop"


def _run(source: str, folder: Path, *settings: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    target = folder / "outcome.json"
    command = [sys.executable, "-c", "from synaug.cli.main import run_app; run_app()", "run", source]
    given = [part for setting in (*_FEW, *settings) for part in ("--set", setting)]
    environment = {**os.environ, "SYNAUG_HOME": str(folder / "home")}
    done = subprocess.run(
        [*command, *given, "--json", str(target)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=600,
    )
    return done, json.loads(target.read_text()) if target.exists() else None


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("example", "data", "classes"),
    [
        ("wbc3", "wbc", 3),
        ("wbc4", "wbc", 4),
        ("wbc5", "wbc", 5),
        ("breastmnist", "breastmnist.npz", 2),
        ("retinamnist", "retinamnist.npz", 5),
        ("caltech37", "caltech37", 37),
    ],
)
def test_an_example_runs(root: Path, real_data: Path, tmp_path: Path, example: str, data: str, classes: int) -> None:
    done, outcome = _run(f"{root}/examples/{example}.yaml", tmp_path, f"data.source={real_data / data}")
    assert done.returncode == 0, done.stderr
    assert len(outcome["dataset"]["classes"]) == classes
    assert list(outcome["arms"]) == list(DEFAULT_ARMS)
    assert outcome["model"]["alias"] == "champion"
    if example == "wbc5":
        assert outcome["dataset"]["train"]["BASOPHIL"] == 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("example", "data"), [("methods-wbc", "wbc"), ("methods-breastmnist", "breastmnist.npz")])
def test_every_method_runs(root: Path, real_data: Path, tmp_path: Path, example: str, data: str) -> None:
    few = [f"generators.{name}.steps=4" for name in ("gan", "diffusion", "autoencoder")]
    source = f"{root}/examples/{example}.yaml"
    done, outcome = _run(source, tmp_path, f"data.source={real_data / data}", *few, "quality.usefulness=false")
    assert done.returncode == 0, done.stderr
    assert len(outcome["arms"]) == 18
    assert len(outcome["synthetic"]) == 14


_PAIRS = {
    "vae": ("interpolate", "prior", "reconstruct", "targeted", "random"),
    "autoencoder": ("interpolate", "prior", "reconstruct", "targeted", "random"),
    "gan": ("prior",),
    "diffusion": ("prior",),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", ["wbc3", "breastmnist"])
def test_every_generator_runs_with_every_strategy_it_can_serve(
    root: Path, real_data: Path, tmp_path: Path, example: str
) -> None:
    arms = [
        {"name": f"{kind}-{strategy}", "synthesis": {"generator": kind, "strategy": strategy}}
        for kind, strategies in _PAIRS.items()
        for strategy in strategies
    ]
    settings = [f"generators.{kind}={{kind: {kind}, steps: 4, width: 8}}" for kind in _PAIRS]
    settings += [f"arms={json.dumps(['control', *arms])}", "tuning.trials=0", "data.image_size=32"]
    settings += ["quality.usefulness=false", "generators.diffusion.diffusion.sampling_steps=2"]
    data = real_data / ("breastmnist.npz" if example == "breastmnist" else "wbc")
    done, outcome = _run(f"{root}/examples/{example}.yaml", tmp_path, f"data.source={data}", *settings)
    assert done.returncode == 0, done.stderr
    assert list(outcome["arms"]) == ["control", *(arm["name"] for arm in arms)]
    assert outcome["synthetic"].keys() == {arm["name"] for arm in arms}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("data", ["wbc", "breastmnist.npz", "retinamnist.npz", "caltech37"])
def test_bare_data_runs(real_data: Path, tmp_path: Path, data: str) -> None:
    done, outcome = _run(str(real_data / data), tmp_path, _DROP)
    assert done.returncode == 0, done.stderr
    assert outcome["verdict"] == "no gain shown"  # one repetition shows nothing


def test_bare_wbc_is_refused_by_its_smallest_class(real_data: Path, tmp_path: Path) -> None:
    done, outcome = _run(str(real_data / "wbc"), tmp_path)
    assert (done.returncode, outcome) == (2, None)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("synaug: ")]
    assert "BASOPHIL" in line
    assert "of which 1 is for training" in line
