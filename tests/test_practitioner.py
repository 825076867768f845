"""The practitioner's script as a peer: it knows nothing of synaug, and has the divisions of synaug's own runs."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torch import nn

from benchmarks import practitioner, side_practitioner
from synaug_core.config import DataConfig
from synaug_core.config.load import starting_values
from synaug_core.data.prepare import prepare_divisions
from synaug_core.quality.features import features_for_splits

ROOT = Path(__file__).resolve().parent.parent
BACKBONE = "tf_efficientnet_lite0"


def part(count: int, seed: int, channels: int = 1) -> side_practitioner.Part:
    """Noise with stripes across (class 0) or down (class 1)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    stripes = np.broadcast_to(200 * (np.arange(28) // 7 % 2)[:, None], (28, 28))
    patterns = np.stack([stripes, stripes.T])[labels][..., None]
    return (rng.integers(0, 50, (count, 28, 28, channels)) + patterns).astype(np.uint8), labels


def test_the_script_knows_nothing_of_synaug() -> None:
    tree = ast.parse((ROOT / "benchmarks" / "side_practitioner.py").read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {module.partition(".")[0] for module in modules}
    assert {"timm", "sklearn", "torch"} <= tops
    assert not tops & {"synaug", "synaug_core", "tasks", "flows", "deployments", "benchmarks"}


@pytest.mark.parametrize("channels", [1, 3])
def test_frozen_features_tell_stripes_apart(channels: int) -> None:
    train, val, (images, labels) = (part(n, seed, channels) for n, seed in ((16, 1), (8, 2), (12, 3)))
    rows = side_practitioner.frozen(train, val, images, backbone=BACKBONE, size=64)
    assert rows.shape == (12, 2)
    assert np.allclose(rows.sum(1), 1)
    assert (rows.argmax(1) == labels).mean() > 0.9


class Small(nn.Sequential):
    """A network that learns stripes in seconds."""

    pretrained_cfg: ClassVar = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def __init__(self, classes: int) -> None:
        layers = [nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 16, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(16, classes))


def test_fine_tuning_learns_and_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_practitioner, "load_network", lambda backbone, classes: Small(classes))
    train, val, (images, labels) = (part(n, seed) for n, seed in ((64, 1), (16, 2), (12, 3)))
    first, again = (
        side_practitioner.fine_tuned(train, val, images, backbone="", size=32, seed=4, flips="hv", epochs=60)
        for _ in range(2)
    )
    assert (first.argmax(1) == labels).mean() > 0.9
    assert (first == again).all()


def test_fine_tuning_of_the_pretrained_network() -> None:
    train, val, (images, _) = (part(n, seed) for n, seed in ((33, 1), (4, 2), (3, 3)))
    options = {"backbone": BACKBONE, "size": 32, "flips": "h", "epochs": 1}
    rows = [side_practitioner.fine_tuned(train, val, images, seed=seed, **options) for seed in (1, 2)]
    assert rows[0].shape == (3, 2)
    assert np.allclose(rows[0].sum(1), 1)
    assert not np.allclose(*rows)


@pytest.mark.parametrize("name", [name for name, practice in practitioner.SETS.items() if practice.example])
def test_divisions_are_those_of_the_example(name: str) -> None:
    def plain(config: DataConfig) -> dict[str, Any]:
        return config.model_dump(exclude={"source", "image_size"})

    practice = practitioner.SETS[name]
    values = starting_values(str(ROOT / "examples" / f"{practice.example}.yaml"))
    per_class = values["data"].get("per_class")
    if isinstance(per_class, dict):
        values["data"]["per_class"] = {str(key): count for key, count in per_class.items()}
    assert plain(practice.config) == plain(DataConfig.model_validate(values["data"]))
    assert Path(practice.config.source).name == Path(values["data"]["source"]).name
    assert values.get("seed", 0) == practitioner._SEED


def test_numbered_divisions_are_those_of_a_run() -> None:
    config = DataConfig.model_validate(
        {"source": "digits", "classes": ("0", "1"), "split": {"folds": 2}, "image_size": 16}
    )
    expected = [data.digest for data in prepare_divisions(config, repetitions=2, seed=0, describe=features_for_splits)]
    numbered = [(number, data.digest) for number, data in practitioner.divisions(config, [1, 2])]
    assert numbered == [(1, expected[1]), (2, expected[2])]
    single = config.model_copy(update={"split": type(config.split)()})
    first, second = practitioner.divisions(single, [0, 1])
    assert (first[0], second[0]) == (0, 1)
    assert first[1].digest == second[1].digest


def test_what_is_finished_is_not_trained_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = itertools.count(1)

    def guess(train: Any, val: Any, test: Any, **options: Any) -> np.ndarray:
        next(trainings)
        assert (train[0].dtype, train[0].shape[1:]) == (np.uint8, (16, 16, 1))
        rows = np.zeros((len(test), train[1].max() + 1))
        rows[:, 0] = 1
        return rows

    monkeypatch.setattr(side_practitioner, "frozen", guess)
    small = practitioner.Practice(
        "digits", {"classes": ("0", "1", "2"), "per_class": {"2": 5, "default": 9}, "split": {"draws": True}}, 16, 32
    )
    monkeypatch.setitem(practitioner.SETS, "digits", small)
    script = practitioner.Script("frozen", BACKBONE, 32, 30)
    practitioner.complete("digits", script, 2, tmp_path)
    practitioner.complete("digits", script, 3, tmp_path)
    assert next(trainings) == 4
    assert capsys.readouterr().out.count("digits 2 frozen: 33.3 in 0 s") == 1
    row = list(practitioner.table({"digits": [script]}, 3, tmp_path))[-1]
    assert row.startswith("| digits | frozen | 32 | 3 | 33.3 ± 0.0 | ")
    assert row.count(" ± ") == 4
    assert "| 0.0 ± 0.0 | 50.0 ± 0.0 |" in row
