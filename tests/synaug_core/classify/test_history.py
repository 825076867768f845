"""Whether a training was still learning when its steps ended."""

from __future__ import annotations

import math

import pytest

from synaug_core.classify.trained import Evaluation, History


def history(train_loss, val_loss=None, ended="all steps", every: int = 25, steps: int = 500) -> History:
    """Losses as functions of the step."""
    evaluations = tuple(
        Evaluation(step=s, train_loss=train_loss(s), val_balanced_loss=None if val_loss is None else val_loss(s))
        for s in range(every, steps + 1, every)
    )
    return History(evaluations=evaluations, best_step=steps, stopped_at=steps, ended=ended)


def falling(step: float) -> float:
    return 2 * math.exp(-step / 400)


def flat(step: float) -> float:
    return 0.3 + 2 * math.exp(-step / 40)


def rising(step: float) -> float:
    return 0.3 + step / 1000


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "expected"),
    [
        (falling, falling, True),
        (falling, flat, False),
        (falling, rising, False),
        (flat, falling, False),
        (flat, flat, False),
        (lambda s: 0.1 * falling(s), falling, True),
        (lambda s: 0.005 * falling(s), falling, False),
    ],
)
def test_both_losses_have_to_fall(train_loss, val_loss, expected):
    assert history(train_loss, val_loss).is_still_learning == expected


def test_without_validation_images_the_training_loss_decides():
    assert history(falling, ended="no validation images").is_still_learning
    assert not history(flat, ended="no validation images").is_still_learning


def test_a_training_that_was_stopped_had_nothing_more_to_learn():
    assert not history(falling, falling, ended="early stop").is_still_learning


def test_too_few_evaluations_say_nothing():
    assert not history(falling, falling, every=500).is_still_learning
    assert not History(evaluations=(), best_step=0, stopped_at=0, ended="all steps").is_still_learning


def test_a_noisy_plateau_is_none():
    noise = {s: 0.3 + 0.01 * math.sin(s) for s in range(501)}
    assert not history(noise.__getitem__, noise.__getitem__).is_still_learning


def test_of_networks_that_share_the_steps_the_last_one_counts():
    """Each began anew, so that the losses of all together fall and rise."""
    last_of_three = history(lambda s: falling((s - 1) % 200), lambda s: falling((s - 1) % 200), steps=600)
    finished = history(lambda s: flat(4 * ((s - 1) % 200)), lambda s: flat(4 * ((s - 1) % 200)), steps=600)
    assert last_of_three.model_copy(update={"members": 3}).is_still_learning
    assert not finished.model_copy(update={"members": 3}).is_still_learning
