"""Mixup and CutMix across classes, and the loss of images that belong to two classes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synaug_core.classify.mixing import Targets, mix
from synaug_core.classify.optimisation import cross_entropy
from synaug_core.seeds import stream

N = 60
LABELS = torch.arange(N) % 3


@pytest.fixture
def images() -> torch.Tensor:
    """Each image has one value everywhere, its number."""
    return torch.arange(N, dtype=torch.float32).view(N, 1, 1, 1).expand(N, 1, 16, 16).clone()


def _shares(targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    assert targets.weights is not None
    assert targets.mixed_in is not None
    assert targets.mixed_in.weights is not None
    return targets.weights, targets.mixed_in.weights


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize(("probability", "most"), [(0.5, 30), (1.0, 60)])
def test_an_image_is_as_much_of_another_as_its_labels_say(images, kind, probability, most):
    mixed, targets = mix(images, Targets(LABELS), kind, probability, stream(0))
    own, other = _shares(targets)
    torch.testing.assert_close(own + other, torch.ones(N))
    assert most * 0.7 < int((other > 0.001).sum()) <= most
    means = mixed.mean((1, 2, 3))
    partner = torch.where(other > 0.001, (means - own * torch.arange(N)) / other, torch.arange(N).float())
    torch.testing.assert_close(partner, partner.round(), atol=0.05, rtol=0)
    assert torch.equal(LABELS[partner.round().long()][other > 0.001], targets.mixed_in.labels[other > 0.001])
    assert torch.equal(targets.labels, LABELS)


def test_cutmix_pastes_a_rectangle(images):
    mixed, targets = mix(images, Targets(LABELS), "cutmix", 1.0, stream(1))
    _, other = _shares(targets)
    for image, before, share in zip(mixed[:, 0], images[:, 0], other, strict=True):
        changed = image != before
        rows, columns = changed.any(1), changed.any(0)
        assert int(changed.sum()) == int(rows.sum()) * int(columns.sum())
        assert float(changed.float().mean()) in (pytest.approx(float(share)), 0.0)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_partners_are_drawn_as_the_batch_is(images, kind):
    """A balanced batch has balanced partners: every image is the partner of one."""
    _, targets = mix(images, Targets(LABELS), kind, 1.0, stream(0))
    assert targets.mixed_in is not None
    assert torch.bincount(targets.mixed_in.labels).tolist() == [20, 20, 20]


def test_none_and_probability_0_change_nothing(images):
    for kind, probability in (("none", 1.0), ("mixup", 0.0), ("cutmix", 0.0)):
        mixed, targets = mix(images, Targets(LABELS), kind, probability, stream(0))
        assert mixed is images
        assert targets.mixed_in is None
        assert targets.weights is None


def test_image_weights_go_with_the_images(images):
    weights = torch.where(torch.arange(N) < 30, 2.0, 1.0)
    _, targets = mix(images, Targets(LABELS, weights), "mixup", 1.0, stream(0))
    own, other = _shares(targets)
    plain_own, plain_other = _shares(mix(images, Targets(LABELS), "mixup", 1.0, stream(0))[1])
    torch.testing.assert_close(own, plain_own * weights)
    ratio = (other / plain_other)[plain_other > 0.01]
    assert set(ratio.round(decimals=3).tolist()) == {1.0, 2.0}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([1.0, 2.0, 5.0])])
def test_the_loss_agrees_with_soft_labels(images, smoothing, class_weights):
    """torch's cross-entropy of probabilities, divided by the weights that the labels have."""
    _, targets = mix(images, Targets(LABELS), "mixup", 1.0, stream(0))
    own, other = _shares(targets)
    soft = own[:, None] * F.one_hot(LABELS, 3) + other[:, None] * F.one_hot(targets.mixed_in.labels, 3)
    logits = torch.randn(N, 3, generator=stream(2))
    value = cross_entropy(logits, targets, class_weights=class_weights, label_smoothing=smoothing)
    loss_sum = F.cross_entropy(logits, soft, weight=class_weights, label_smoothing=smoothing, reduction="sum")
    weight_sum = soft.sum() if class_weights is None else (soft * class_weights).sum()
    assert value.item() == pytest.approx((loss_sum / weight_sum).item(), rel=1e-5)


def test_further_images_count_beside_the_mixtures(images):
    """As those of online synthesis do: one class each, with a weight."""
    _, targets = mix(images, Targets(LABELS), "mixup", 1.0, stream(0))
    own, other = _shares(targets)
    more = torch.tensor([2, 0])
    logits = torch.randn(N + 2, 3, generator=stream(2))
    losses = -logits.log_softmax(1)
    rows = torch.arange(N)
    expected = (own * losses[rows, LABELS] + other * losses[rows, targets.mixed_in.labels]).sum()
    expected = (expected + 0.5 * losses[[N, N + 1], more].sum()) / (N + 1)
    assert cross_entropy(logits, targets.extended(more, 0.5)).item() == pytest.approx(expected.item(), rel=1e-5)
    plain = cross_entropy(logits, Targets(LABELS).extended(more, 1.0))
    torch.testing.assert_close(plain, F.cross_entropy(logits, torch.cat([LABELS, more])))


def test_unmixed_it_is_torchs_loss():
    logits = torch.randn(N, 3, generator=stream(2))
    weights = torch.tensor([1.0, 2.0, 5.0])
    plain = F.cross_entropy(logits, LABELS, weight=weights, label_smoothing=0.1)
    assert torch.equal(cross_entropy(logits, Targets(LABELS), class_weights=weights, label_smoothing=0.1), plain)
    ones = cross_entropy(logits, Targets(LABELS, torch.ones(N)), class_weights=weights, label_smoothing=0.1)
    torch.testing.assert_close(ones, plain)
