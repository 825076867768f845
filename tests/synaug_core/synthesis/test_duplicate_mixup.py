"""The controls that know pixels only."""

import numpy as np
import pytest
import torch
from scipy import stats

from synaug_core.config import CONTROL_STRATEGIES, SynthesisConfig
from synaug_core.synthesis import registry
from synaug_core.synthesis.duplicate import duplicate
from synaug_core.synthesis.mixup import mixup
from synaug_core.synthesis.strategy import Source
from synaug_core.testing.conformance import make_images


def source(train, name="small"):
    return Source(name, train.of_class(name))


@pytest.mark.parametrize("strategy", [duplicate, mixup])
@pytest.mark.parametrize("name", ["small", "single"])
def test_the_first_images_stay(train, strategy, name):
    many = strategy(source(train, name), 300, SynthesisConfig(), seed=1)
    few = strategy(source(train, name), 33, SynthesisConfig(), seed=1)
    assert torch.equal(few.images, many.images[:33])
    assert few.provenance == many.provenance[:33]
    assert many.images.dtype == torch.uint8
    assert many.images.shape == (300, 1, 16, 16)
    assert strategy(source(train, name), 0, SynthesisConfig(), seed=1).images.shape == (0, 1, 16, 16)
    other = strategy(source(train, name), 33, SynthesisConfig(), seed=2)
    assert torch.equal(other.images, few.images) == (name == "single")


def test_duplicates_are_the_real_images_equally_often(train):
    own = train.of_class("small")
    made = duplicate(source(train), 15, SynthesisConfig(), seed=1)
    rows = [own.ids.index(o["parents"][0]) for o in made.provenance]
    assert torch.equal(made.images, own.images[rows])
    assert sorted(rows[:7]) == sorted(rows[7:14]) == list(range(7))


def test_mixtures_are_the_formula_of_two_of_the_class(train):
    own = train.of_class("small")
    made = mixup(source(train), 50, SynthesisConfig(), seed=1)
    for image, origin in zip(made.images, made.provenance, strict=True):
        one, other = (own.images[own.ids.index(p)].numpy().astype(float) for p in origin["parents"])
        a = origin["alpha"]
        assert origin["parents"][0] != origin["parents"][1]
        assert np.abs(image.numpy() - ((1 - a) * one + a * other)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("shape", [0.1, 0.4, 1.0, 5.0])
def test_shares_follow_the_beta_distribution(train, shape):
    made = mixup(source(train), 1500, SynthesisConfig(mixup_alpha=shape), seed=3)
    shares = [o["alpha"] for o in made.provenance]
    assert stats.kstest(shares, stats.beta(shape, shape).cdf).pvalue > 0.01


def test_an_extreme_shape_stays_in_range(train):
    for shape in (1e-4, 1e6):
        made = mixup(source(train), 100, SynthesisConfig(mixup_alpha=shape), seed=3)
        assert all(0 <= o["alpha"] <= 1 for o in made.provenance)


def test_colour_and_more_than_one_chunk():
    train = make_images({"a": 5}, 3, 8)
    made = mixup(Source("a", train), 2100, SynthesisConfig(), seed=1)
    assert made.images.shape == (2100, 3, 8, 8)
    assert int(made.images.flatten(1).max(1).values.min()) > 0


def test_they_need_no_generator_and_are_controls():
    for name in ("duplicate", "mixup"):
        entry = registry.find(name)
        assert (entry.generator, entry.latent, entry.target) == (False, False, False)
        assert name in CONTROL_STRATEGIES
