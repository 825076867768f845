import numpy as np
import pytest
import torch

from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior, ensemble_posterior


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
