"""The loop around every training, with a training that only counts."""

import itertools

import pytest
import torch

from synaug_core.checkpoints import Checkpoint
from synaug_core.errors import DeadlineError
from synaug_core.generators.base import FitJob
from synaug_core.generators.diffusion import EMA_DELAY
from synaug_core.generators.training_loop import Clock, ema_decay_at, run_training, update_ema


class Count:
    """Blocks of 4 of 10 steps; it stops early at `stop`."""

    def __init__(self, stop=10):
        self.done, self.stop, self.begun = 0, stop, False

    @property
    def is_finished(self):
        return self.done >= self.stop

    def begin(self):
        self.begun = True

    def restore(self, state):
        self.done = state["done"]

    def state(self):
        return {"done": self.done}

    def advance(self):
        self.done = min(self.done + 4, 10)
        return {"loss": 1 / self.done}


def train(run, checkpoint=None, fingerprint="x", deadline=None):
    calls = []

    def progress(done, total, **values):
        calls.append((done, total, values))

    job = FitJob(0, torch.device("cpu"), progress, checkpoint or Checkpoint(None), deadline)
    run_training(run, Clock(deadline), job, steps=10, fingerprint=fingerprint)
    return calls


def test_each_block_is_told():
    calls = train(run := Count())
    assert run.begun
    assert [(done, total) for done, total, _ in calls] == [(4, 10), (8, 10), (10, 10)]
    assert calls[0][2] == {"loss": 0.25}


def test_a_training_that_stops_early_has_done_all():
    assert [done for done, *_ in train(Count(stop=8))] == [4, 10]


@pytest.mark.parametrize(("fingerprint", "blocks", "begun"), [("x", 1, False), ("y", 3, True)])
def test_only_the_same_training_is_taken_up(tmp_path, fingerprint, blocks, begun):
    kept = Checkpoint(tmp_path / "state", interval=0)
    train(Count(stop=8), kept)
    assert kept.load() == {"fingerprint": "x", "run": {"done": 8}}
    run = Count()
    assert len(train(run, kept, fingerprint)) == blocks
    assert run.begun is begun


def test_the_state_is_that_after_the_last_block(tmp_path):
    kept = Checkpoint(tmp_path / "state", interval=0)
    train(Count(), kept)
    assert kept.load()["run"] == {"done": 10}
    assert train(run := Count(), kept) == []
    assert run.is_finished


def test_the_deadline_is_looked_at_before_each_block(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(Clock, "seconds", property(lambda self: float(next(ticks))))
    with pytest.raises(DeadlineError, match=r"the generator took longer than 0\.5 s \(4 of 10 steps\)"):
        train(Count(), deadline=0.5)


def test_average_follows_by_the_formula():
    averages, weights = [torch.tensor([1.0, 2.0]), torch.tensor([4.0])], [torch.tensor([3.0, 0.0]), torch.tensor([0.0])]
    update_ema(averages, weights, 0.75)
    assert averages[0].tolist() == [1.5, 1.5]
    assert averages[1].tolist() == [3.0]


def test_decay_rises_to_what_is_asked_for():
    decays = [ema_decay_at(step, 0.995) for step in range(1, 5000)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(1 / 11)
    assert decays[-1] == 0.995
    first = torch.tensor(decays[:60]).prod()
    assert first < 1e-6  # what is left of the first weights after a short training


def test_the_average_of_the_diffusion_model_warms_up():
    assert ema_decay_at(1, 0.995, delay=EMA_DELAY) == pytest.approx(0.1)
    assert ema_decay_at(10_001, 0.995, delay=EMA_DELAY) == 0.995
