"""Posteriors of training images: those of the fit, whoever asks."""

import dataclasses

import pytest
import torch

from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.testing.conformance import make_images

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_posteriors_of_training_images_are_kept_from_the_fit(kind, small, tmp_path, monkeypatch):
    images = make_images({"a": 14, "b": 12}, 1, 16)
    images = dataclasses.replace(images, images=images.images[[0, 0, *range(2, 26)]])  # two are equal
    config = small.model_copy(update={"kind": kind})
    fitted = registry.create(config, images.classes, 1, 16).fit(images, FitJob(seed=3, device=CPU))
    fitted.save(tmp_path)
    loaded = registry.load(tmp_path)
    own, foreign = images.of_class("b").images, make_images({"a": 2, "b": 3}, 1, 16).of_class("b").images + 1
    expected, of_others = fitted.encode(own, "b"), fitted.encode(foreign, "b")
    for generator in (fitted, loaded):
        assert all(map(torch.equal, generator.posteriors(torch.cat([own, foreign])[len(own) :], "b"), of_others))
        monkeypatch.setattr(generator, "encode", None)
        assert all(map(torch.equal, generator.posteriors(own, "b"), expected))
        assert torch.equal(generator.posteriors(own[[7, 2]], "b")[0], expected[0][[7, 2]])


def test_a_generator_of_an_earlier_version_encodes_again(small, tmp_path):
    images = make_images({"a": 14}, 1, 16)
    generator = registry.create(small, images.classes, 1, 16).fit(images, FitJob(seed=3, device=CPU))
    generator._posteriors = {}
    generator.save(tmp_path)
    loaded = registry.load(tmp_path)
    assert torch.equal(loaded.posteriors(images.images, "a")[0], generator.encode(images.images, "a")[0])
