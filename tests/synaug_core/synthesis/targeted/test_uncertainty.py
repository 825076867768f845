import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.uncertainty import (
    dropout_posterior,
    ensemble_posterior,
    entropy_of_mean,
    mutual_information,
    uncertainty_function,
)


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


def test_masks_are_fixed_and_come_from_the_stream(classifiers, digits):
    model, images = classifiers[0].model, digits.test.images[:6] / 255
    posterior = dropout_posterior(model, 5, stream(1))
    one = posterior(images)
    assert one.shape == (5, 6, 3)
    assert one.dtype == torch.float64
    torch.testing.assert_close(one.sum(-1), torch.ones(5, 6, dtype=torch.float64))
    assert torch.equal(posterior(images), one)
    assert torch.equal(dropout_posterior(model, 5, stream(1))(images), one)
    assert not torch.equal(dropout_posterior(model, 5, stream(2))(images), one)
    assert len({tuple(p.flatten().tolist()) for p in one}) == 5
    torch.testing.assert_close(posterior(images[2:3])[:, 0], one[:, 2], atol=1e-6, rtol=1e-5)


def test_all_samples_cost_one_pass_of_the_backbone_and_leave_the_model_as_it_is(classifiers, digits):
    model = classifiers[0].model
    before = {k: v.clone() for k, v in model.state_dict().items()}
    calls = []
    hook = model.backbone.register_forward_hook(lambda *_: calls.append(1))
    try:
        dropout_posterior(model, 9, stream(1))(digits.test.images[:4] / 255)
    finally:
        hook.remove()
    assert len(calls) == 1
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_mean_logit_is_the_one_without_dropout(classifiers, digits):
    model, images = classifiers[0].model, digits.test.images[:4] / 255
    with torch.no_grad():
        many = dropout_posterior(model, 4000, stream(1))(images).log()
        plain = model(images).log_softmax(-1).double()
    differences = (many[..., 0] - many[..., 1]).mean(0), plain[..., 0] - plain[..., 1]
    torch.testing.assert_close(*differences, atol=0.1, rtol=0.05)


def test_an_ensemble_has_its_members_probabilities(classifiers, digits):
    some = digits.test.images[:7]
    found = ensemble_posterior([c.model for c in classifiers])(some / 255).detach()
    for k, classifier in enumerate(classifiers):
        np.testing.assert_allclose(found[k], classifier.predict(some), atol=1e-6)


@pytest.mark.gpu
def test_on_a_gpu(classifiers, digits):
    model = classifiers[0].model.to("cuda")
    try:
        found = dropout_posterior(model, 3, stream(1, "cuda"))(digits.test.images[:4].cuda() / 255)
        assert found.device.type == "cuda"
    finally:
        model.to("cpu")
