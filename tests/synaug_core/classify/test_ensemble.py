"""Ensembles of equal compute: training, storing, predicting, explaining and attacking."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify import scores
from synaug_core.classify.ensemble import train_arm
from synaug_core.classify.model import Ensemble
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import NAMED_ARMS, STANDARD_ARMS
from synaug_core.probes.explanation.eigengradcam import eigen_grad_cam
from synaug_core.probes.robustness.attacks import freeze_copy, measure_response
from synaug_core.quality.features import features
from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior

ARM = NAMED_ARMS["ensemble"]
SEEDS = {"init_seed": 3, "batch_seed": 4}


@pytest.fixture(scope="module")
def sets(make_set):
    return make_set((30, 12)), make_set((12, 8), seed=1), make_set((20, 20), seed=2)


@pytest.fixture(scope="module")
def config(quick):
    return quick.model_copy(update={"steps": 36})


@pytest.fixture(scope="module")
def ensemble(sets, config):
    return train_arm(TrainingJob(config, ARM, sets[0], sets[1], **SEEDS))


def test_its_members_share_the_steps(ensemble, sets, config):
    steps = []
    again = train_arm(
        TrainingJob(
            config, ARM, sets[0], sets[1], **SEEDS, progress=lambda done, total, **_: steps.append((done, total))
        )
    )
    assert steps == [(done, 36) for done in range(1, 37)]
    assert len(again.model.networks) == 3
    history = ensemble.history
    assert (history.stopped_at, history.best_step) == (36, 36)
    assert [e.step for e in history.evaluations] == [6, 12, 18, 24, 30, 36]
    weights = [m.linear.weight for m in ensemble.model.networks]
    assert not torch.equal(weights[0], weights[1])
    for a, b in zip(ensemble.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_averages_probabilities(ensemble, sets):
    test = sets[2]
    members = [
        TrainedClassifier(m, ensemble.config, ensemble.classes, ensemble.channels, ensemble.size, ensemble.history)
        for m in ensemble.model.networks
    ]
    np.testing.assert_allclose(ensemble.predict(test), np.mean([m.predict(test) for m in members], axis=0), atol=1e-6)
    labels = sets[1].labels
    last = ensemble.history.evaluations[-1]
    assert last.val_balanced_accuracy == scores.balanced_accuracy(torch.from_numpy(ensemble.predict(sets[1])), labels)
    assert ensemble.history.best_score == last.val_balanced_accuracy


def test_one_member_is_the_plain_training(sets, config):
    arm = STANDARD_ARMS["control"]
    job = TrainingJob(config, arm, sets[0], sets[1], **SEEDS)
    one, plain = train_arm(job), train(job)
    assert (one.predict(sets[2]) == plain.predict(sets[2])).all()
    with pytest.raises(ValueError, match="train_arm"):
        train(TrainingJob(config, ARM, sets[0], sets[1], **SEEDS))


def test_it_is_one_stored_model(ensemble, sets, tmp_path):
    ensemble.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spec.json", "weights.safetensors"]
    again = TrainedClassifier.load(tmp_path)
    assert isinstance(again.model, Ensemble)
    assert (again.predict(sets[2]) == ensemble.predict(sets[2])).all()


def test_features_and_head_give_the_logits(ensemble, sets):
    model, pixels = ensemble.model, sets[2].images[:6]
    with torch.no_grad():
        assert torch.equal(model.head(model.features(pixels)), model(pixels))
    assert features(sets[2], ensemble).shape == (40, model.width)
    assert model.width == 3 * model.networks[0].width


def test_it_can_be_a_target(ensemble, sets):
    probabilities = dropout_posterior(ensemble.model, 4, stream(0))(sets[2].images[:5] / 255)
    assert probabilities.shape == (4, 5, 2)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4, 5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_its_map_is_the_mean_of_its_members(ensemble, sets):
    test = sets[2].take(range(4))
    maps = eigen_grad_cam(ensemble, test.images, test.labels)
    members = [
        TrainedClassifier(m, ensemble.config, ensemble.classes, ensemble.channels, ensemble.size, ensemble.history)
        for m in ensemble.model.networks
    ]
    mean = np.mean([eigen_grad_cam(m, test.images, test.labels) for m in members], axis=0)
    np.testing.assert_allclose(maps, mean / mean.max(axis=(1, 2), keepdims=True), atol=1e-6)


def test_it_can_be_attacked(ensemble, sets):
    test = sets[2].take(range(4))
    model = freeze_copy(ensemble.model)
    before = measure_response(model, test.images / 255, test.labels)
    assert before.gradient is not None
    assert before.gradient.abs().sum() > 0
    moved = (test.images / 255 + 0.05 * before.gradient.sign()).clamp(0, 1)
    assert (measure_response(model, moved, test.labels).log_odds > before.log_odds).all()


@pytest.mark.parametrize("killed_at", [5, 20])
def test_a_killed_training_ends_with_the_same_bytes(ensemble, sets, config, tmp_path, killed_at):
    def kill(done: int, total: int, **values: float) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "state.pt", interval=0)
    with pytest.raises(KeyboardInterrupt):
        train_arm(TrainingJob(config, ARM, sets[0], sets[1], **SEEDS, progress=kill, checkpoint=saved))
    steps: list[int] = []
    again = Checkpoint(tmp_path / "state.pt", interval=0)
    resumed = train_arm(
        TrainingJob(
            *(config, ARM, sets[0], sets[1]),
            **SEEDS,
            checkpoint=again,
            progress=lambda done, total, **_: steps.append(done),
        )
    )
    assert steps[0] == killed_at + 1
    assert (resumed.predict(sets[2]) == ensemble.predict(sets[2])).all()
    again.clear()
    assert not list(tmp_path.iterdir())
