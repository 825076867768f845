"""Attacks: they stay in their ball, leave the model alone, and are as strong as they should be."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from synaug_core.probes.robustness import attacks
from synaug_core.seeds import stream

EPS = 0.1


@pytest.fixture(scope="session")
def case(trained, digits):
    """(model, clean, labels) of 60 test digits."""
    images = digits["test"].images[:60].float() / 255
    labels = digits["test"].labels[:60]
    model = attacks.freeze_copy(trained.model)
    return model, attacks.measure_response(model, images, labels), labels


def _pgd(case, eps=EPS, steps=10, seed=0):
    model, clean, labels = case
    noise = torch.rand(clean.images.shape, generator=stream(seed)) * 2 - 1
    start = attacks.random_start(clean.images, noise, eps)
    return attacks.pgd(model, clean, labels, eps=eps, steps=steps, start=start)


def _run(case, name, eps=EPS):
    model, clean, labels = case
    if name == "fgsm":
        return attacks.fgsm(model, clean, labels, eps=eps)
    return _pgd(case, eps) if name == "pgd" else attacks.lowering(model, clean, labels, eps=eps, steps=10)


def test_log_odds_are_those_of_the_true_class(case):
    model, clean, labels = case
    p = model(clean.images).softmax(1).gather(1, labels.view(-1, 1)).squeeze(1).detach()
    assert torch.allclose(torch.sigmoid(-clean.log_odds), p, atol=1e-5)


def test_the_gradient_is_that_of_the_cross_entropy_but_for_its_length(case):
    model, clean, labels = case
    x = clean.images.clone().requires_grad_()
    head = copy.deepcopy(model.linear).double()  # a sure classifier's cross-entropy needs more digits
    logits = head(model.features(x).double()) - model.prior_shift
    torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    unsure = 1 - logits.softmax(1).gather(1, labels.view(-1, 1)).view(-1, 1, 1, 1).detach()
    difference = (x.grad / unsure - clean.gradient).abs().amax((1, 2, 3)) / clean.gradient.abs().amax((1, 2, 3))
    assert float(difference.max()) < 1e-3


def test_a_sure_classifier_still_has_a_gradient(case):
    model, clean, labels = case
    sure = attacks.freeze_copy(model)
    with torch.no_grad():
        sure.linear.weight.mul_(1000)
        sure.linear.bias.mul_(1000)
    found = attacks.measure_response(sure, clean.images, labels)
    right = ~found.fooled
    assert (sure(clean.images[right]).softmax(1).amax(1) == 1).any()
    assert (found.gradient[right].abs().amax((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "lowering"])
@pytest.mark.parametrize("eps", [0.5 / 255, 8 / 255, 0.5])
def test_the_ball_and_the_range_are_kept(case, name, eps):
    found = _run(case, name, eps)
    assert float((found.images - case[1].images).abs().max()) <= eps + 1e-6
    assert float(found.images.min()) >= 0
    assert float(found.images.max()) <= 1


@pytest.mark.parametrize("name", ["fgsm", "pgd", "lowering"])
def test_what_is_said_of_an_image_is_true_of_it(case, name):
    model, clean, labels = case
    found = _run(case, name)
    seen = attacks.measure_response(model, found.images, labels, gradient=False)
    assert torch.equal(seen.fooled, found.fooled)
    assert (seen.log_odds >= clean.log_odds - 1e-4).all()
    assert found.fooled.float().mean() > clean.fooled.float().mean() + 0.2


@pytest.mark.parametrize("eps", [0.02, 0.05, 0.1, 0.2])
def test_pgd_is_nowhere_weaker_than_fgsm(case, eps):
    simple, strong = _run(case, "fgsm", eps), _run(case, "pgd", eps)
    assert (strong.fooled >= simple.fooled).all()
    assert strong.fooled.sum() >= simple.fooled.sum()


def test_pgd_after_fgsm_fools_the_images_that_it_fools_by_itself(case):
    model, clean, labels = case
    simple = _run(case, "fgsm", 0.03)
    left = (~simple.fooled).nonzero().flatten()
    some, own = clean.take(left), labels[left]
    noise = torch.rand(some.images.shape, generator=stream(0)) * 2 - 1
    start = attacks.random_start(some.images, noise, 0.03)
    alone, after = (
        attacks.pgd(model, some, own, eps=0.03, steps=10, start=start, after_fgsm=known) for known in (False, True)
    )
    assert torch.equal(alone.fooled, after.fooled)
    assert after.fooled.any()
    assert not after.fooled.all()


def test_pgd_is_stronger_than_fgsm_on_the_whole(case):
    assert _run(case, "pgd").fooled.sum() > _run(case, "fgsm").fooled.sum()


@pytest.mark.parametrize("name", ["pgd", "lowering"])
def test_a_large_eps_fools_always(case, name):
    assert _run(case, name, 0.6).fooled.float().mean() > 0.98


def test_every_step_of_lowering_goes_along_the_gradient(case):
    model, clean, labels = case
    (seen,) = attacks.ascend(
        model, clean, clean.images, labels, eps=1.0, step=1e-3, steps=1, direction=attacks.gradient_direction
    )
    inside = ((clean.images > 0.05) & (clean.images < 0.95)).flatten(1)
    for moved, gradient, kept in zip(
        (seen.images - clean.images).flatten(1), clean.gradient.flatten(1), inside, strict=True
    ):
        a, b = moved[kept], gradient[kept]
        assert float(torch.dot(a, b) / (a.norm() * b.norm())) > 0.999
    assert (seen.log_odds > clean.log_odds).float().mean() > 0.95


def test_steps_have_the_same_length_in_the_euclidean_norm(case):
    gradient = case[1].gradient
    lengths = [
        d(gradient).flatten(1).square().mean(1).sqrt() for d in (attacks.gradient_direction, attacks.sign_direction)
    ]
    assert torch.allclose(lengths[0], torch.ones(60), atol=1e-4)
    assert (lengths[1] <= 1 + 1e-6).all()
    assert torch.equal(attacks.gradient_direction(torch.zeros(1, 1, 2, 2)), torch.zeros(1, 1, 2, 2))


def test_the_model_is_not_touched(trained, digits):
    before = {k: v.clone() for k, v in trained.model.state_dict().items()}
    grads = {k: None if p.grad is None else p.grad.clone() for k, p in trained.model.named_parameters()}
    trained.model.train()
    state = torch.get_rng_state()
    model = attacks.freeze_copy(trained.model)
    images, labels = digits["test"].images[:8].float() / 255, digits["test"].labels[:8]
    clean = attacks.measure_response(model, images, labels)
    attacks.pgd(model, clean, labels, eps=EPS, steps=2, start=images)
    attacks.lowering(model, clean, labels, eps=EPS, steps=2)
    assert trained.model.training
    trained.model.eval()
    assert not model.training
    assert all(torch.equal(v, before[k]) for k, v in trained.model.state_dict().items())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.requires_grad for p in trained.model.parameters())
    assert all(
        p.grad is None if grads[k] is None else torch.equal(p.grad, grads[k])
        for k, p in trained.model.named_parameters()
    )
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_equal_starts_give_equal_bytes(case):
    assert torch.equal(_pgd(case, seed=3).images, _pgd(case, seed=3).images)
    assert not torch.equal(_pgd(case, seed=3).images, _pgd(case, seed=4).images)


def test_one_image_is_attacked_as_in_a_batch(case):
    model, clean, labels = case
    whole = attacks.fgsm(model, clean, labels, eps=EPS)
    index = torch.tensor([5])
    alone = attacks.fgsm(model, clean.take(index), labels[index], eps=EPS)
    assert torch.equal(alone.images, whole.images[index])
    assert torch.equal(alone.fooled, whole.fooled[index])


def test_without_a_gradient_nothing_starts(case):
    model, clean, labels = case
    blind = attacks.measure_response(model, clean.images, labels, gradient=False)
    assert blind.gradient is None
    with pytest.raises(ValueError, match="gradient"):
        attacks.fgsm(model, blind, labels, eps=EPS)
    with pytest.raises(ValueError, match="gradient"):
        attacks.lowering(model, blind, labels, eps=EPS, steps=1)


@pytest.fixture(scope="module")
def toolbox(case):
    """The same model in the Adversarial Robustness Toolbox."""
    from art.estimators.classification import PyTorchClassifier

    model, clean, _ = case
    copy = attacks.freeze_copy(model)
    shape = tuple(clean.images.shape[1:])
    loss = torch.nn.CrossEntropyLoss()
    return PyTorchClassifier(copy, loss, shape, 10, clip_values=(0, 1), device_type="cpu")


class TestAgainstTheAdversarialRobustnessToolbox:
    def test_fgsm_makes_the_same_images(self, case, toolbox):
        from art.attacks.evasion import FastGradientMethod

        _, clean, labels = case
        theirs = FastGradientMethod(toolbox, eps=EPS, batch_size=60).generate(clean.images.numpy(), labels.numpy())
        ours = (clean.images + EPS * attacks.sign_direction(clean.gradient)).clamp(0, 1)
        assert np.abs(theirs - ours.numpy()).max() < 1e-6

    @pytest.mark.parametrize(("eps", "steps"), [(0.03, 3), (0.1, 10)])
    def test_pgd_walks_the_same_way(self, case, toolbox, eps, steps):
        from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

        model, clean, labels = case
        one_step = FastGradientMethod(toolbox, eps=eps, batch_size=60).generate(clean.images.numpy(), labels.numpy())
        attack = ProjectedGradientDescent(
            toolbox, eps=eps, eps_step=eps / 4, max_iter=steps, num_random_init=0, batch_size=60, verbose=False
        )
        theirs = attack.generate(clean.images.numpy(), labels.numpy())
        *_, last = attacks.ascend(model, clean, clean.images, labels, eps=eps, step=eps / 4, steps=steps)
        same = np.abs(theirs - last.images.numpy()) < 1e-6
        assert same.all()
        fooled, by_one_step = (toolbox.predict(x).argmax(1) != labels.numpy() for x in (theirs, one_step))
        ours = attacks.pgd(model, clean, labels, eps=eps, steps=steps, start=clean.images)
        assert (ours.fooled.numpy() >= fooled).all()  # the best of the way, not its end
        assert ours.fooled.float().mean() - (fooled | by_one_step).mean() < 0.05
