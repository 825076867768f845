"""The average of weights against its formulas."""

import pytest
import torch

from synaug_core.generators.averaging import decay_at, follow
from synaug_core.generators.diffusion.training import AVERAGING_DELAY


def test_average_follows_by_the_formula():
    averages, weights = [torch.tensor([1.0, 2.0]), torch.tensor([4.0])], [torch.tensor([3.0, 0.0]), torch.tensor([0.0])]
    follow(averages, weights, 0.75)
    assert averages[0].tolist() == [1.5, 1.5]
    assert averages[1].tolist() == [3.0]


def test_decay_rises_to_what_is_asked_for():
    decays = [decay_at(step, 0.995) for step in range(1, 5000)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(1 / 11)
    assert decays[-1] == 0.995
    first = torch.tensor(decays[:60]).prod()
    assert first < 1e-6  # what is left of the first weights after a short training


def test_the_average_of_the_diffusion_model_warms_up():
    assert decay_at(1, 0.995, delay=AVERAGING_DELAY) == pytest.approx(0.1)
    assert decay_at(10_001, 0.995, delay=AVERAGING_DELAY) == 0.995
