"""Losses against their formulas."""

import pytest
import torch

from synaug_core.generators.gan import discriminator_hinge_loss, r1_penalty
from synaug_core.seeds import stream


def test_hinge_values():
    real, made = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([-2.0, 0.5])
    assert float(discriminator_hinge_loss(real, made)) == pytest.approx((0 + 1 + 2) / 3 + (0 + 1.5) / 2)
    assert float(discriminator_hinge_loss(torch.ones(3), -torch.ones(3))) == 0


def test_penalty_of_a_linear_score_is_its_squared_weights():
    weights = torch.randn(3, 5, 5, generator=stream(1))
    images = torch.randn(7, 3, 5, 5, generator=stream(2)).requires_grad_()
    penalty = r1_penalty((images * weights).sum((1, 2, 3)), images)
    assert float(penalty) == pytest.approx(float(weights.square().sum()), rel=1e-5)


def test_penalty_of_a_square_and_its_own_gradient():
    factor = torch.tensor(3.0, requires_grad=True)
    images = torch.randn(4, 1, 2, 2, generator=stream(3)).requires_grad_()
    penalty = r1_penalty(0.5 * factor * images.square().sum((1, 2, 3)), images)
    mean = images.detach().square().sum((1, 2, 3)).mean()
    assert torch.allclose(penalty.detach(), 9 * mean)
    penalty.backward()
    assert torch.allclose(factor.grad, 6 * mean)
