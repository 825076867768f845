import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from synaug_core.generators.elbo import (
    VARIANCE_BOUNDS,
    beta_at,
    bounded,
    kl_per_unit,
    negative_log_likelihood,
    terms,
)
from synaug_core.seeds import stream


@pytest.fixture
def batch():
    random = stream(3)
    images, decoded = torch.rand(2, 5, 3, 6, 6, generator=random)
    mean, log_variance = torch.randn(2, 5, 4, generator=random)
    return images, decoded, mean, log_variance


def test_likelihood_is_that_of_a_normal_summed_over_pixels(batch):
    images, decoded, mean, log_variance = batch
    error, _ = terms(images, decoded, mean, log_variance)
    variance = torch.tensor(0.02)
    ours = negative_log_likelihood(error, variance, pixels=3 * 6 * 6)
    theirs = -Normal(decoded, variance.sqrt()).log_prob(images).sum(dim=(1, 2, 3))
    torch.testing.assert_close(ours, theirs)


def test_kl_is_that_of_two_normals(batch):
    *_, mean, log_variance = batch
    theirs = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_per_unit(mean, log_variance), theirs)
    assert float(kl_per_unit(torch.zeros(1), torch.zeros(1))) == 0


def test_terms_are_sums_over_pixels_not_means(batch):
    images, decoded, mean, log_variance = batch
    error, kl = terms(images, decoded, mean, log_variance)
    twice, _ = terms(images.repeat(1, 1, 2, 1), decoded.repeat(1, 1, 2, 1), mean, log_variance)
    torch.testing.assert_close(twice, 2 * error)
    assert error.shape == (5,)
    assert kl.shape == (5, 4)


def test_the_mean_squared_error_is_the_best_variance():
    error, pixels = torch.tensor(3.0), 100
    best = float(negative_log_likelihood(error, error / pixels, pixels))
    for factor in (0.8, 1.25):
        assert float(negative_log_likelihood(error, factor * error / pixels, pixels)) > best


def test_beta_rises_in_a_straight_line_and_stays():
    assert [beta_at(step, 2.0, 4) for step in (1, 2, 4, 5, 100)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert beta_at(1, 2.0, 0) == 2.0


def test_variance_is_bounded():
    assert (bounded(0.0), bounded(0.5), bounded(math.inf)) == (VARIANCE_BOUNDS[0], 0.5, VARIANCE_BOUNDS[1])
