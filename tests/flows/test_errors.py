"""Every error that a user can provoke inside a run: one line, exit code 2, and a closed run that says why."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Case = tuple[dict[str, Any], str]

WITHIN: dict[str, Case] = {
    "weights": (
        {"classifier": {"backbone": "resnet10t", "pretrained": True}},
        "pretrained weights of resnet10t: the hub cannot be reached (",
    ),
    "stem": (
        {"classifier": {"backbone": "mobilenetv3_small_050", "batch_size": 1}},
        "classifier.batch_size: mobilenetv3_small_050 normalises over the batch and needs at least 2",
    ),
    "plan": (
        {"synthesis": {"sampling_strategy": {"9": 50}}},
        "synthesis.sampling_strategy: unknown class '9'; classes are 0, 1, 2",
    ),
    "ratio": ({"synthesis": {"sampling_strategy": 0.5}}, "synthesis.sampling_strategy: ratio 0.5 needs two classes"),
    "fewer": (
        {"synthesis": {"sampling_strategy": {"0": 3}}},
        "synthesis.sampling_strategy: 3 of class '0' wanted, ",
    ),
    "tail": ({"data": {"long_tail": 200}}, "'2' has 177 images, of which 1 is for training; at least 5 "),
}


AT_SIGHT: dict[str, Case] = {
    "classes": ({"data": {"classes": [0, 1, "x"]}}, "data.classes: no class 'x'; there are 0, 1, 2, "),
    "lonely": ({"data": {"classes": [0]}}, "only one class, 0; at least two are needed"),
}


def error_line(err: str) -> str:
    """The one line that is neither progress nor part of the first look at the images, which ends with the plan."""
    lines = err.splitlines()
    plan = next((n for n, line in enumerate(lines) if line.startswith("plan: ")), -1)
    [line] = [line for line in lines[plan + 1 :] if not line.startswith("[")]
    return line


@pytest.fixture(scope="module")
def fails(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> Callable[..., None]:
    """Runs a configuration that the run itself must refuse."""

    def check(name: str, changes: dict[str, Any], start: str, code: int = 2) -> None:
        said = retrain(tiny(name, **changes))
        assert said.code == code, said.err
        assert said.out == ""
        assert "Traceback" not in said.err
        line = error_line(said.err)
        assert line.startswith(f"synaug: {start}")
        assert said.outcome is None
        [run] = runs_of(name)
        assert run.info.status == "FAILED"
        assert line.removeprefix("synaug: ").startswith(run.tags["synaug.error"])
        assert run.tags["synaug.error"].startswith(start)
        assert {r.info.status for r in run.all()} <= {"FAILED", "FINISHED", "KILLED"}
        assert not run.of("generator"), "refused only after the generators were trained"

    return check


@pytest.fixture(scope="module")
def refused_at_sight(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> Callable[..., None]:
    """Runs a configuration whose images are refused before anything is started."""

    def check(name: str, changes: dict[str, Any], start: str) -> None:
        said = retrain(tiny(name, **changes))
        assert (said.code, said.out, said.outcome) == (2, "", None)
        [line] = said.err.splitlines()
        assert line.startswith(f"synaug: {start}")
        assert runs_of(name) == []

    return check


@pytest.mark.parametrize("name", AT_SIGHT)
def test_images_that_cannot_be_are_refused_at_sight(refused_at_sight: Callable[..., None], name: str) -> None:
    refused_at_sight(name, *AT_SIGHT[name])


@pytest.mark.parametrize("name", WITHIN)
def test_a_choice_that_cannot_be_is_refused_before_anything_is_trained(fails: Callable[..., None], name: str) -> None:
    fails(name, *WITHIN[name])


def test_a_class_with_too_few_images(
    refused_at_sight: Callable[..., None], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = draw_images(tmp_path, {"many": 30, "more": 20, "few": 4})
    data = {"source": str(folder), "classes": None, "long_tail": None}
    refused_at_sight("few", {"data": data}, "'few' has 4 images; at least 5 training images are needed: add ")


def test_too_many_files_that_are_no_images(
    refused_at_sight: Callable[..., None], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = draw_images(tmp_path, {"a": 20, "b": 20})
    for i in range(4):
        (folder / "a" / f"broken{i}.png").write_bytes(b"no image")
    data = {"source": str(folder), "classes": None, "long_tail": None}
    refused_at_sight("rejected", {"data": data}, "4 of 44 files (9.1%) cannot be used, over the limit of 5.0% ")


def test_an_image_that_would_fill_the_memory_is_rejected_unread(
    refused_at_sight: Callable[..., None], draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = draw_images(tmp_path, {"a": 8, "b": 8})
    bomb = bytearray((folder / "a" / "00.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    (folder / "a" / "00.png").write_bytes(bomb)
    data = {"source": str(folder), "classes": None, "long_tail": None}
    refused_at_sight("bomb", {"data": data}, "1 of 16 files (6.2%) cannot be used, over the limit of 5.0% ")


def test_a_deadline_is_nobodys_input_fault(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    said = retrain(tiny("late", compute={"deadline": 1e-6}))
    assert said.code == 1
    assert error_line(said.err).startswith("synaug: the generator took longer than 1e-06 s")
    [run] = runs_of("late")
    assert run.info.status == "FAILED"
    assert {r.info.status for r in run.of("generator")} == {"FAILED"}


def test_a_training_that_diverges_ends_the_run_and_every_run_below_it(
    tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    config = tiny("lost", arms=["original"], repetitions=1, tuning={"trials": 0}, classifier={"learning_rate": 1e30})
    said = retrain(config)
    assert said.code == 1
    assert "synaug: arm original: the training loss is not finite at step " in said.err
    assert "Traceback" not in said.err
    [run] = runs_of("lost")
    assert {r.info.status for r in run.all()} <= {"FAILED", "FINISHED", "KILLED"}
    assert "the training loss is not finite" in run.tags["synaug.error"]
    # With a learning rate that works, the run below the failed one's name is another; this one stays as it is.
    mended = retrain(tiny("lost", arms=["original"], repetitions=1, tuning={"trials": 0}))
    assert mended.code == 0, mended.err
    assert [r.info.status for r in runs_of("lost")] == ["FAILED", "FINISHED"]


BEFORE: dict[str, Case] = {
    "gpu": ({"compute": {"device": "cuda:7"}}, "compute.device: 'cuda:7' was asked for, and this machine has no "),
    "device": ({"compute": {"device": "quantum"}}, "compute.device: 'quantum' is no device; use auto, cpu or cuda"),
    "place": ({"data": {"source": "/nowhere/at/all"}}, "data.source: '/nowhere/at/all' does not exist"),
    "unknown": ({"classifier": {"step": 3}}, "unknown key classifier.step; the nearest known key is classifier.steps"),
    "strategy": (
        {"synthesis": {"strategy": "dream"}},
        "synthesis.strategy: unknown strategy 'dream'; known are cutmix, duplicate, interpolate, mixup, oracle, paste, "
        "prior, random, reconstruct, targeted, transfer, transfer-random",
    ),
    "kind": (
        {"generator": {"kind": "oracle"}},
        "generator.kind: unknown kind 'oracle'; known are autoencoder, diffusion, gan, vae",
    ),
    "latent": (
        {"generator": {"kind": "gan"}},
        "synthesis.strategy: interpolate needs a generator with a latent space, and `generator.kind: gan` has none; ",
    ),
    "backbone": ({"classifier": {"backbone": "resnet_18"}}, "classifier.backbone: timm has no 'resnet_18'; near it: "),
    "range": ({"tuning": {"dropout": {"low": 0, "high": 2}}}, "tuning.dropout.high: 2 is not a possible dropout"),
}


@pytest.mark.parametrize("name", BEFORE)
def test_what_is_wrong_before_the_run_leaves_no_run(
    name: str, tiny: Callable[..., Any], retrain: Callable[..., Any], runs_of: Callable[[str], list[Any]]
) -> None:
    changes, start = BEFORE[name]
    said = retrain(tiny(name, **changes))
    assert said.code == 2
    assert start in said.err
    assert "Traceback" not in said.err
    assert start in error_line(said.err)
    assert runs_of(name) == []
