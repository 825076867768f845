"""Deferred balancing, balanced softmax, and every further control in the training loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.ensemble import train_arm
from synaug_core.classify.mixing import Targets
from synaug_core.classify.sampling import first_phase_steps, sampler_of
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.config import ArmConfig, SynthesisConfig
from synaug_core.config.arms import FURTHER_CONTROLS, STANDARD_ARMS
from synaug_core.seeds import stream

SEEDS = {"init_seed": 3, "batch_seed": 4}
CPU = torch.device("cpu")
DEFERRED, SOFTMAX = FURTHER_CONTROLS["deferred"], FURTHER_CONTROLS["balanced_softmax"]


@pytest.mark.parametrize("name", FURTHER_CONTROLS)
def test_every_further_control_learns(make_set, quick, name):
    config = quick.model_copy(update={"steps": 120, "width": 8, "batch_size": 16})
    train_set, val = make_set((40, 12)), make_set((10, 10), seed=1)
    made = train_arm(TrainingJob(config, FURTHER_CONTROLS[name], train_set, val, **SEEDS))
    test = make_set((30, 30), seed=2)
    assert (made.predict(test).argmax(1) == test.labels.numpy()).mean() > 0.85
    assert made.history.prior == pytest.approx([0.5, 0.5])
    assert float(made.model.prior_shift.abs().max()) == 0.0


def test_deferred_draws_are_natural_and_then_balanced(make_set, quick):
    images = make_set((30, 10))
    config = quick.model_copy(update={"steps": 100, "batch_size": 40})
    sampler = sampler_of(config, DEFERRED, images, 5, CPU)
    shares = [float((images.labels[sampler.next()] == 1).double().mean()) for _ in range(100)]
    assert first_phase_steps(DEFERRED, config) == 80
    assert set(shares[:80]) == {0.25}
    assert set(shares[80:]) == {0.5}


def test_the_early_stop_waits_for_the_balanced_draws(make_set, quick):
    config = quick.model_copy(update={"steps": 40, "evaluate_every": 4, "patience": 1, "learning_rate": 1e-12})
    made = train(TrainingJob(config, DEFERRED, make_set((30, 10)), make_set(seed=1), **SEEDS))
    assert made.history.stopped_at > 32


@pytest.mark.parametrize("keep", ["val_loss", "val_balanced_loss", "val_macro_auc"])
@pytest.mark.parametrize(
    "arm",
    [DEFERRED, ArmConfig(name="x", pretrain=0.8, synthesis=SynthesisConfig())],
    ids=["deferred", "pretrain"],
)
def test_weights_of_the_last_phase_are_kept(make_set, quick, arm, keep):
    """Earlier ones have learnt another prior."""
    config = quick.model_copy(update={"steps": 20, "evaluate_every": 2, "keep": keep, "schedule": "constant"})
    made = train(TrainingJob(config, arm, make_set((30, 10)), make_set(seed=1), **SEEDS))
    assert made.history.best_step > 16
    one = train(TrainingJob(config.model_copy(update={"steps": 1}), arm, make_set((30, 10)), make_set(seed=1), **SEEDS))
    assert one.history.best_step == 1


@pytest.mark.parametrize("name", ["deferred", "cutmix", "mixup", "strong"])
def test_a_killed_training_ends_with_the_same_bytes(make_set, quick, tmp_path, name):
    sets = make_set((30, 10)), make_set(seed=1)
    whole = train(TrainingJob(quick, FURTHER_CONTROLS[name], *sets, **SEEDS))

    def kill(done: int, total: int, **values: float) -> None:
        if done == 21:
            raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "state.pt", interval=0)
    with pytest.raises(KeyboardInterrupt):
        train(TrainingJob(quick, FURTHER_CONTROLS[name], *sets, **SEEDS, progress=kill, checkpoint=saved))
    resumed = train(TrainingJob(quick, FURTHER_CONTROLS[name], *sets, **SEEDS, checkpoint=saved))
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_balanced_softmax_adds_the_log_prior_in_training(make_set, quick):
    loop = Loop.start(TrainingJob(quick, SOFTMAX, make_set((30, 10)), make_set(seed=1), 0, 1, CPU))
    labels = torch.tensor([0, 1, 1, 0, 1])
    logits = torch.randn(5, 2, generator=stream(0))
    expected = F.cross_entropy(logits + torch.tensor([0.75, 0.25]).log(), labels)
    assert loop._loss(logits, Targets(labels)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_of_equally_many_images_balanced_softmax_is_the_plain_loss(make_set, quick):
    sets = make_set((12, 12)), make_set(seed=1)
    softmax, plain = (train(TrainingJob(quick, arm, *sets, **SEEDS)) for arm in (SOFTMAX, STANDARD_ARMS["traditional"]))
    for a, b in zip(softmax.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_class_weights_leave_balanced_softmax_nothing_to_add(make_set, quick):
    config = quick.model_copy(update={"class_weights": "balanced"})
    loop = Loop.start(TrainingJob(config, SOFTMAX, make_set((30, 10)), make_set(seed=1), 0, 1, CPU))
    assert loop.adjustment is not None
    assert float(loop.adjustment.abs().max()) == 0.0


def test_mixing_changes_the_training_and_repeats(make_set, quick):
    sets = make_set((30, 10)), make_set(seed=1)
    arm = ArmConfig(name="x", mixing="mixup")
    one, two = (train(TrainingJob(quick, arm, *sets, **SEEDS)) for _ in range(2))
    none = train(TrainingJob(quick.model_copy(update={"mixing_probability": 0.0}), arm, *sets, **SEEDS))
    plain = train(TrainingJob(quick, STANDARD_ARMS["original"], *sets, **SEEDS))
    weights = [m.model.linear.weight for m in (one, two, none, plain)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[3])
    assert torch.equal(weights[2], weights[3])
