import pytest
import torch

from synaug_core.config import SynthesisConfig
from synaug_core.errors import ConfigError
from synaug_core.generators.base import Generator
from synaug_core.generators.pixels import to_uint8
from synaug_core.synthesis import registry
from synaug_core.synthesis.interpolate import interpolate
from synaug_core.synthesis.prior import prior
from synaug_core.synthesis.reconstruct import reconstruct
from synaug_core.synthesis.strategy import Source

CHOICES = [
    SynthesisConfig(),
    SynthesisConfig(pairing="neighbours", neighbours=3, path="spherical"),
    SynthesisConfig(ends="sample", alpha=(0.3, 0.5)),
    SynthesisConfig(alpha_mode="grid", alpha=(0.25, 0.5, 0.75)),
]


@pytest.mark.parametrize("strategy", [interpolate, prior, reconstruct])
@pytest.mark.parametrize("config", CHOICES)
@pytest.mark.parametrize("name", ["large", "single"])
def test_the_first_images_stay(generator, train, strategy, config, name):
    own = train.of_class(name)
    many = strategy(Source(name, own, generator), 70, config, seed=1)
    few = strategy(Source(name, own, generator), 33, config, seed=1)
    assert torch.equal(few.images, many.images[:33])
    assert few.provenance == many.provenance[:33]
    assert many.images.dtype == torch.uint8
    assert many.images.shape == (70, 1, 16, 16)
    other = strategy(Source(name, own, generator), 33, config, seed=2)
    one_picture = name == "single" and config.ends == "mean" and strategy is not prior
    assert torch.equal(other.images, few.images) == one_picture


@pytest.mark.parametrize("config", CHOICES)
def test_parents_are_two_training_images_of_the_class(generator, train, config):
    own = train.of_class("small")
    made = interpolate(Source("small", own, generator), 50, config, seed=1)
    for origin in made.provenance:
        first, second = origin["parents"]
        assert first != second
        assert {first, second} <= set(own.ids)
        assert min(config.alpha) <= origin["alpha"] <= max(config.alpha)
    uses = [sum(o["parents"][0] == i for o in made.provenance) for i in own.ids]
    assert max(uses) - min(uses) <= 1


@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize(("alpha", "end"), [(0.0, 0), (1.0, 1)])
def test_the_ends_of_the_way_are_the_decoded_parents(generator, train, path, alpha, end):
    own = train.of_class("large")
    config = SynthesisConfig(alpha_mode="grid", alpha=(alpha,), path=path)
    made = interpolate(Source("large", own, generator), 25, config, seed=1)
    rows = [own.ids.index(o["parents"][end]) for o in made.provenance]
    decoded = to_uint8(generator.decode(generator.encode(own.images, "large")[0], "large"))
    assert torch.equal(made.images, decoded[rows])


def test_neighbours_are_nearer_than_random_partners(generator, train):
    own = train.of_class("large")
    mean = generator.encode(own.images, "large")[0]

    def distance(pairing):
        made = interpolate(Source("large", own, generator), 60, SynthesisConfig(pairing=pairing, neighbours=2), seed=1)
        pairs = [[own.ids.index(p) for p in o["parents"]] for o in made.provenance]
        return float(torch.stack([(mean[i] - mean[j]).norm() for i, j in pairs]).mean())

    assert distance("neighbours") < distance("random")


def test_a_single_image_has_itself_at_both_ends(generator, train):
    made = interpolate(Source("single", train.of_class("single"), generator), 3, SynthesisConfig(), seed=1)
    assert all(o["parents"] == ["single/0", "single/0"] for o in made.provenance)


def test_reconstructions_are_decoded_means(generator, train):
    own = train.of_class("small")
    made = reconstruct(Source("small", own, generator), 7, SynthesisConfig(), seed=1)
    rows = [own.ids.index(o["parents"][0]) for o in made.provenance]
    assert sorted(rows) == list(range(7))
    decoded = to_uint8(generator.decode(generator.encode(own.images, "small")[0], "small"))
    assert torch.equal(made.images, decoded[rows])


class Blank(Generator):
    """A generator without a latent space."""

    kind = "blank"

    def fit(self, images, **options):
        return self

    def sample(self, n, class_name, *, seed):
        return torch.zeros(n, self.channels, self.size, self.size, dtype=torch.uint8)

    def save(self, folder):
        folder.mkdir()

    @classmethod
    def load(cls, folder, device="cpu"):
        raise NotImplementedError


def test_strategies_say_what_they_need(generator, train):
    blank, own = Blank(generator.config, ("small",), 1, 16), train.of_class("small")
    for strategy in (interpolate, reconstruct):
        with pytest.raises(ConfigError, match=f"{strategy.__name__} needs a generator with a latent space"):
            strategy(Source("small", own, blank), 3, SynthesisConfig(), seed=1)
    assert len(prior(Source("small", own, blank), 3, SynthesisConfig(), seed=1).images) == 3


def test_registry():
    assert set(registry.names()) >= {"interpolate", "prior", "reconstruct"}
    assert registry.find("interpolate").make is interpolate
    with pytest.raises(ConfigError, match="unknown strategy 'interpolat'; known are cutmix, duplicate, interpolate"):
        registry.find("interpolat")
    with pytest.raises(ConfigError, match="'prior' is taken"):
        registry.register("prior", reconstruct)
