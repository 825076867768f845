"""Progress, slots, workers, names: the parts that steps share."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import torch

import tasks.engine.recording as reporting
from synaug_core.classify.search_space import TrialSpec, Tuned
from synaug_core.config import STANDARD_ARMS, ComputeConfig, SynthesisConfig, TuningConfig
from synaug_core.errors import ConfigError
from tasks.engine.context import group_name
from tasks.engine.machine import device_slot, gpu_limit_name, worker_count
from tasks.engine.progress_bus import Event, publish, subscribe
from tasks.synthesis import synthesis_name
from tasks.training import trial_name


def test_events_reach_every_subscriber_until_it_leaves() -> None:
    one: list[Event] = []
    two: list[Event] = []
    leave_one, leave_two = subscribe(one.append), subscribe(two.append)
    publish(Event("dataset", "x", 1, 2))
    leave_one()
    leave_one()
    publish(Event("dataset", "x", 2, 2))
    leave_two()
    publish(Event("dataset", "x", 2, 2, state="done"))
    assert [e.done for e in one] == [1]
    assert [e.done for e in two] == [1, 2]


def test_events_of_many_threads_all_arrive() -> None:
    seen: list[Event] = []
    leave = subscribe(seen.append)
    threads = [threading.Thread(target=lambda i=i: [publish(Event("s", str(i), n)) for n in range(50)]) for i in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leave()
    assert all([e.done for e in seen if e.name == name] == list(range(50)) for name in "abcd")


def test_progress_is_told_a_few_times_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.0, 0.1, 0.25, 0.3, 0.5, 0.55])
    monkeypatch.setattr(reporting.time, "monotonic", lambda: next(now))
    seen: list[Event] = []
    leave = subscribe(seen.append)
    tell = reporting.progress("training", "original 0")
    for done in range(1, 7):
        tell(done, 6, val_loss=done / 10)
    leave()
    assert [e.done for e in seen] == [3, 5, 6]
    assert seen[-1] == Event("training", "original 0", 6, 6, {"val_loss": 0.6})


def test_a_slot_on_the_cpu_gives_its_threads_back_and_blocks_nobody() -> None:
    before = torch.get_num_threads()
    with device_slot(ComputeConfig(device="cpu", threads=2)) as device:
        assert device == torch.device("cpu")
        assert torch.get_num_threads() == 2
        with device_slot(ComputeConfig(device="cpu", threads=1)):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_slot_on_a_device_that_is_not_there_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match=r"compute\.device: 'abacus' is no device"),
        device_slot(ComputeConfig(device="abacus")),
    ):
        pass


def test_the_gpu_limit_is_named_after_the_gpu() -> None:
    assert gpu_limit_name("Box 7.example.org 1") == "gpu:box-7-example-org-1"
    assert gpu_limit_name("0f2D-77") == "gpu:0f2d-77"


def test_workers_are_as_configured_or_as_the_cores_allow() -> None:
    assert worker_count(ComputeConfig(workers=7)) == 7
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert worker_count(ComputeConfig(device="cpu")) == cores
    assert worker_count(ComputeConfig(device="cpu", threads=10_000)) == 1


def test_names_of_steps_are_short_and_tell_searches_apart() -> None:
    assert group_name(["a"]) == "a"
    assert group_name(["a", "b", "c", "d"]) == "a, b and 2 more"
    arms = (STANDARD_ARMS["control"], STANDARD_ARMS["combined"])
    trial = TrialSpec(number=3, trial_id=9, parameters=Tuned(), steps=75)
    assert trial_name(trial, arms, TuningConfig()) == "trial 3, 75 steps"
    assert trial_name(trial, arms[:1], TuningConfig(scope="per_arm", pruner="none")) == "control trial 3"


@pytest.mark.parametrize(
    ("choices", "kind", "name"),
    [
        ({}, "vae", "vae interpolate"),
        ({"detail": "residual", "path": "spherical"}, "vae", "vae interpolate residual spherical"),
        ({"detail": "none"}, "vae", "vae interpolate plain"),
        ({"strategy": "mixup"}, None, "mixup"),
        ({"strategy": "targeted", "targeted": {"posterior": "ensemble"}}, "vae", "vae targeted mi ensemble"),
    ],
)
def test_a_synthesis_is_called_by_what_is_not_usual(choices: dict[str, Any], kind: str | None, name: str) -> None:
    assert synthesis_name(SynthesisConfig.model_validate(choices), kind) == name
