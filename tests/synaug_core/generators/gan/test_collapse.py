"""A generator that makes the same image over and over is found out; one as varied as its class is not."""

import pytest
import torch

from synaug_core.generators.base import FitJob
from synaug_core.generators.gan import (
    SUSPECT_DISTANCE,
    SUSPECT_DIVERSITY,
    ConditionalGAN,
    Networks,
    describe_collapse,
    measure_diversity,
)
from synaug_core.testing.conformance import make_images


def _discs(n, name="a", size=24):
    return make_images({name: n}, 3, size).images


def test_equal_sets_are_equally_varied():
    images = _discs(40)
    assert measure_diversity(images, images) == {"diversity": 1, "neighbour_distance": 1}


def test_another_draw_of_a_class_is_about_as_varied():
    images = _discs(120)
    measures = measure_diversity(images[:60], images[60:])
    assert all(0.75 < value < 1.3 for value in measures.values())
    assert describe_collapse("a", 60, measures) is None


def test_one_image_again_and_again_is_suspected():
    images = _discs(40)
    measures = measure_diversity(images, images[:1].expand(40, -1, -1, -1))
    assert measures == {"diversity": 0, "neighbour_distance": 0}
    assert describe_collapse("EOSINOPHIL", 40, measures) == (
        "mode collapse suspected: samples of EOSINOPHIL are 0.00 times as varied as its images"
    )


def test_a_few_images_again_and_again_are_suspected():
    images = _discs(40)
    measures = measure_diversity(images, images[:4].repeat(10, 1, 1, 1))
    assert measures["diversity"] > SUSPECT_DIVERSITY
    assert measures["neighbour_distance"] < SUSPECT_DISTANCE
    assert "nearest neighbour" in describe_collapse("a", 40, measures)


def test_only_as_many_samples_are_compared_as_there_are_images():
    images = _discs(60)
    assert measure_diversity(images[:10], images) == measure_diversity(images[:10], images[:10])


@pytest.mark.parametrize("real", [_discs(1), _discs(1).expand(8, -1, -1, -1)], ids=["one image", "equal images"])
def test_what_is_not_defined_is_left_out(real):
    measures = measure_diversity(real, _discs(8))
    assert measures == {}
    assert describe_collapse("a", len(real), measures) is None


def test_very_few_images_say_too_little():
    assert describe_collapse("a", 4, {"diversity": 0.1}) is None
    assert describe_collapse("a", 5, {"diversity": 0.1}) is not None


def test_a_fit_whose_generator_is_constant_says_so(small, monkeypatch):
    build = Networks.__init__

    def constant(self, *arguments, **named):
        build(self, *arguments, **named)
        with torch.no_grad():
            for network in (self.generator, self.average):
                network.ups[-1].grow.weight.zero_()

    monkeypatch.setattr(Networks, "__init__", constant)
    config = small.model_copy(update={"learning_rate": 1e-9})
    images = make_images({"a": 12, "b": 3}, 1, 16)
    generator = ConditionalGAN(config, ("a", "b"), 1, 16).fit(images, FitJob(seed=1, device=torch.device("cpu")))
    assert generator.reports["a"].measures["diversity"] < 0.01
    assert [n[:23] for n in generator.reports["a"].notes] == ["mode collapse suspected"]
    assert generator.reports["b"].notes == ()
    assert [s for s, _ in generator.reports["a"].losses["diversity"]] == [0, 2, 4, 6]
