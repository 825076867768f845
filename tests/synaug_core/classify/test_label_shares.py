"""Images that belong to several classes by shares: in the loss, in the prior and in a head."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from synaug_core.classify.frozen.head import image_weights, solve
from synaug_core.classify.frozen.oversampling import plan_points
from synaug_core.classify.mixing import Targets, mix
from synaug_core.classify.optimisation import cross_entropy
from synaug_core.classify.prior import class_prior
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, ClassifierConfig, OversamplingConfig, SynthesisConfig
from synaug_core.data.imageset import LABEL_SHARES
from synaug_core.seeds import stream

SHARES = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6], [0.5, 0.0, 0.5]])
LABELS = torch.tensor([0, 1, 2, 0])


def logits():
    return torch.randn(4, 3, generator=stream(0))


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_count_as_images_of_each_class(weights, smoothing):
    apart = Targets(torch.arange(3).repeat(4), SHARES.flatten())
    expected = cross_entropy(logits().repeat_interleave(3, 0), apart, class_weights=weights, label_smoothing=smoothing)
    found = cross_entropy(logits(), Targets(LABELS, shares=SHARES), class_weights=weights, label_smoothing=smoothing)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    one_class = Targets(LABELS, shares=F.one_hot(LABELS, 3).float())
    plain = cross_entropy(logits(), Targets(LABELS), class_weights=weights, label_smoothing=smoothing)
    assert float(cross_entropy(logits(), one_class, class_weights=weights, label_smoothing=smoothing)) == pytest.approx(
        float(plain), rel=1e-5
    )


def test_mixtures_and_further_images_keep_them():
    images = torch.rand(4, 1, 8, 8, generator=stream(1))
    _, targets = mix(images, Targets(LABELS, shares=SHARES), "mixup", 1.0, stream(2))
    total = sum(part.weights[:, None] * part.shares for part in targets.parts())
    assert torch.allclose(total.sum(1), torch.ones(4))
    more = targets.extended(torch.tensor([2]), 0.5)
    assert more.shares[-1].tolist() == [0, 0, 1]
    assert torch.isfinite(cross_entropy(torch.cat([logits(), logits()[:1]]), more))


def test_the_prior_is_that_of_the_shares():
    quarter = torch.full((4,), 0.25)
    assert torch.allclose(class_prior(LABELS, 3, shares=quarter, label_shares=SHARES), SHARES.double().mean(0))
    one_hot = F.one_hot(LABELS, 3).float()
    weights = {"image_weights": torch.tensor([1.0, 2.0, 1.0, 1.0]), "class_weights": torch.tensor([1.0, 3.0, 1.0])}
    assert torch.allclose(
        class_prior(LABELS, 3, shares=quarter, **weights),
        class_prior(LABELS, 3, shares=quarter, label_shares=one_hot, **weights),
    )


def test_a_head_of_shares_is_that_of_images_of_each_class():
    features, weights = torch.randn(4, 5, generator=stream(3)).double(), torch.tensor([1.0, 2.0, 1.0, 1.0]).double()
    head, loss = solve(features, SHARES, weights, classes=3, strength=0.1)
    apart = (weights[:, None] * SHARES.double()).flatten()
    same, same_loss = solve(features.repeat_interleave(3, 0), torch.arange(3).repeat(4), apart, classes=3, strength=0.1)
    assert torch.allclose(head.weight, same.weight, atol=1e-4)
    assert torch.allclose(head.bias, same.bias, atol=1e-3)
    assert loss == pytest.approx(same_loss, rel=1e-5)


def softened(images, rows):
    """The images, some of them made and of two classes by halves."""
    texts = list(images.provenance)
    for row in rows:
        texts[row] = json.dumps({"generator": None, "parents": [], LABEL_SHARES: {"0": 0.5, "1": 0.5}})
    classes = tuple(str(i) for i in range(len(images.classes)))
    return replace(images, provenance=tuple(texts), classes=classes)


def test_an_image_set_says_them(make_set):
    images = softened(make_set((3, 2)), [1, 4])
    shares = images.label_shares()
    assert shares.tolist() == [[1, 0], [0.5, 0.5], [1, 0], [0, 1], [0.5, 0.5]]
    assert len(images.tensors()) == 4
    points = plan_points(images, OversamplingConfig(sampling_strategy={"1": 4}))
    assert points.label_shares()[-2:].tolist() == [[0, 1], [0, 1]]
    weights, prior = image_weights(ClassifierConfig(), ArmConfig(name="a", synthesis=SynthesisConfig()), images)
    assert float(weights.sum()) == pytest.approx(3)
    assert float(prior.sum()) == pytest.approx(1)
    assert make_set((3, 2)).label_shares() is None
    named = replace(images, provenance=('{"source": "label_shares"}',) * 5)
    assert named.label_shares() is None


def test_trainings_learn_from_them(make_set):
    config = ClassifierConfig(width=4, steps=6, batch_size=8, evaluate_every=3, keep="last")
    arm = STANDARD_ARMS["balanced"]
    images = make_set((12, 12))

    def weight(images):
        val = replace(make_set((4, 4), seed=1), classes=images.classes)
        return train(TrainingJob(config, arm, images, val, init_seed=1, batch_seed=1)).model.linear.weight

    soft = softened(images, range(6))
    hard = replace(soft, provenance=tuple(t.replace(LABEL_SHARES, "x") for t in soft.provenance))
    assert not torch.equal(weight(soft), weight(hard))
