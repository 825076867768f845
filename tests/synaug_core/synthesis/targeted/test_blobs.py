"""Two Gaussian blobs in a plane and a classifier whose boundary is known."""

import math

import pytest
import torch
from torch import nn

from synaug_core.classify.model import Classifier
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig, SynthesisConfig, TargetedConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.pixels import to_uint8
from synaug_core.synthesis.strategy import Source
from synaug_core.synthesis.targeted import random, targeted

NORMAL = torch.tensor([0.8, 0.6])
"""The boundary is where a point's product with this is 0."""


@pytest.fixture
def plane(latent_double):
    """Points of a plane as the upper two pixels of 2 x 2 images."""

    def encode(images):
        points = 6 * torch.logit((images.float() / 255)[:, 0, 0].clamp(0.001, 0.999))
        return points, torch.full_like(points, -9.0)

    def decode(z):
        return torch.stack([torch.sigmoid(z / 6), torch.full_like(z, 0.5)], dim=1)[:, None]

    return latent_double(encode, decode, ("left", "right"), 1, 2)


class Signs(nn.Module):
    """Sixteen features: the signed distance from the boundary eight times, and constants that cancel out.

    Dropping some of the constants shifts the boundary, so that the samples disagree near it.
    """

    def forward(self, x):
        points = 6 * torch.logit(x[:, 0, 0].clamp(1e-6, 1 - 1e-6))
        distance = (points @ NORMAL)[:, None].expand(-1, 8)
        ones = torch.ones(len(x), 4)
        return torch.cat([distance, 4 * ones, -4 * ones], dim=1)


@pytest.fixture
def classifier():
    model = Classifier(Signs(), 16, 2, mean=(0.0,), std=(1.0,), dropout=0.3)
    with torch.no_grad():
        model.linear.bias.zero_()
        model.linear.weight.copy_(torch.tensor([[-1.0], [1.0]]) / 8)
    history = History(evaluations=(), best_step=1, stopped_at=1, ended="all steps")
    return TrainedClassifier(model.eval(), ClassifierConfig(dropout=0.3), ("left", "right"), 1, 2, history)


@pytest.fixture
def blobs(plane):
    points = 1.2 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    points += torch.where(torch.arange(200) < 100, -4.0, 4.0)[:, None] * NORMAL
    ids = tuple(map(str, range(200)))
    labels = (torch.arange(200) >= 100).long()
    return ImageSet(to_uint8(plane.decode(points, "left")), labels, ("left", "right"), ids, ids, ("{}",) * 200)


def distances(images, plane):
    return (plane.encode(images, "left")[0] @ NORMAL).abs()


@pytest.mark.parametrize("uncertainty", ["mi", "entropy"])
def test_targeted_points_move_towards_the_boundary(blobs, plane, classifier, uncertainty):
    config = SynthesisConfig(targeted=TargetedConfig(uncertainty=uncertainty, step_size=0.1, samples=40))
    for name in blobs.classes:
        own = blobs.of_class(name)
        made, aside = (s(Source(name, own, plane, (classifier,)), 100, config, seed=1) for s in (targeted, random))
        start = distances(own.images[[own.ids.index(o["parents"][0]) for o in made.provenance]], plane)
        nearer = distances(made.images, plane) < start
        assert float(nearer.double().mean()) >= 0.95
        assert 0.3 < float((distances(aside.images, plane) < start).double().mean()) < 0.7
        assert made.measures["share_raised"] >= 0.95
        assert made.measures["uncertainty_after"] <= math.log(2)
