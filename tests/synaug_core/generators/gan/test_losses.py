"""Losses and the average of weights against their formulas."""

import pytest
import torch

from synaug_core.generators.gan.averaging import decay_at, follow
from synaug_core.generators.gan.losses import discriminator_hinge, gradient_penalty
from synaug_core.seeds import stream


def test_hinge_values():
    real, made = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([-2.0, 0.5])
    assert float(discriminator_hinge(real, made)) == pytest.approx((0 + 1 + 2) / 3 + (0 + 1.5) / 2)
    assert float(discriminator_hinge(torch.ones(3), -torch.ones(3))) == 0


def test_penalty_of_a_linear_score_is_its_squared_weights():
    weights = torch.randn(3, 5, 5, generator=stream(1))
    images = torch.randn(7, 3, 5, 5, generator=stream(2)).requires_grad_()
    penalty = gradient_penalty((images * weights).sum((1, 2, 3)), images)
    assert float(penalty) == pytest.approx(float(weights.square().sum()), rel=1e-5)


def test_penalty_of_a_square_and_its_own_gradient():
    factor = torch.tensor(3.0, requires_grad=True)
    images = torch.randn(4, 1, 2, 2, generator=stream(3)).requires_grad_()
    penalty = gradient_penalty(0.5 * factor * images.square().sum((1, 2, 3)), images)
    mean = images.detach().square().sum((1, 2, 3)).mean()
    assert torch.allclose(penalty.detach(), 9 * mean)
    penalty.backward()
    assert torch.allclose(factor.grad, 6 * mean)


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
