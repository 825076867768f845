import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from synaug_core.synthesis.targeted.uncertainty import entropy_of_mean, mutual_information, uncertainty_function


def probabilities(k, n, c, seed, sharpness=3.0):
    logits = torch.randn(k, n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (sharpness * logits).softmax(-1)


@given(st.integers(1, 12), st.integers(2, 9), st.integers(0, 99), st.sampled_from([0.1, 1.0, 10.0, 300.0]))
def test_bounds(k, c, seed, sharpness):
    p = probabilities(k, 20, c, seed, sharpness)
    mi, total = mutual_information(p), entropy_of_mean(p)
    assert float(mi.min()) >= -1e-12
    assert float(mi.max()) <= min(math.log(c), math.log(k)) + 1e-12
    assert float(total.min()) >= 0
    assert float(total.max()) <= math.log(c) + 1e-12
    assert bool((mi <= total + 1e-12).all())


def test_one_sample_or_equal_samples_have_none():
    one = probabilities(1, 50, 4, 0)
    assert float(mutual_information(one).abs().max()) == 0
    assert float(mutual_information(one.expand(7, -1, -1)).abs().max()) < 1e-12


def test_samples_that_are_sure_of_different_classes_have_the_most():
    p = torch.eye(4, dtype=torch.float64)[:, None]
    assert float(mutual_information(p)) == pytest.approx(math.log(4))
    assert float(entropy_of_mean(p)) == pytest.approx(math.log(4))


def test_as_scipy_has_it():
    p = probabilities(5, 30, 3, 1)
    total = entropy(p.mean(0).numpy(), axis=1)
    np.testing.assert_allclose(entropy_of_mean(p), total, rtol=1e-10)
    np.testing.assert_allclose(mutual_information(p), total - entropy(p.numpy(), axis=2).mean(0), atol=1e-12)


@pytest.mark.parametrize("kind", ["mi", "entropy"])
def test_gradients_are_finite_where_a_class_has_no_probability(kind):
    logits = torch.tensor([[[0.0, -2000.0, 1.0]], [[900.0, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    uncertainty_function(kind)(logits.softmax(-1)).sum().backward()
    assert bool(logits.grad.isfinite().all())
