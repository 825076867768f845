"""Large images of a generator that learns small ones: every strategy, what keeps full detail, and what it is worth."""

import json

import pytest
import torch

from synaug_core.config import GeneratorConfig, SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.generators.pixels import to_float, to_uint8
from synaug_core.quality.separability import measure_separability
from synaug_core.report import sheets
from synaug_core.seeds import derive, stream
from synaug_core.synthesis.alpha_sweep import alpha_sweep, measure_appearance, walks
from synaug_core.synthesis.interpolate import interpolate
from synaug_core.synthesis.make import enlarged_from, synthesise
from synaug_core.synthesis.strategy import Source

SIZE, LEARNT = 96, 32
INSIDE = {"alpha": (0.2, 0.8), "filters": None}


def textured(n: int, size: int) -> ImageSet:
    """A bright blob somewhere on a ground of fine texture, whose strength differs from image to image."""
    random = stream(derive(0, "textured"))
    grid = torch.linspace(-1, 1, size)
    centre = 0.8 * torch.rand(n, 2, 1, 1, generator=random) - 0.4
    distance = (grid - centre[:, 0]).square() + (grid[:, None] - centre[:, 1]).square()
    blob = 0.35 * torch.exp(-4 * distance)
    texture = torch.randn(n, size, size, generator=random) * (0.03 + 0.05 * torch.rand(n, 1, 1, generator=random))
    images = to_uint8((0.35 + blob + texture).clamp(0, 1))[:, None]
    ids = tuple(f"a/{i}" for i in range(n))
    return ImageSet(images, torch.zeros(n, dtype=torch.int64), ("a",), ids, ids, ('{"source": "made up"}',) * n)


@pytest.fixture(scope="module")
def real():
    return textured(30, SIZE)


@pytest.fixture(scope="module")
def generator(real):
    config = GeneratorConfig(steps=60, evaluate_every=20, width=8, latent_dim=6, learning_rate=3e-3, image_size=LEARNT)
    return registry.create(config, ("a",), 1, SIZE).fit(real, FitJob(seed=5, device=torch.device("cpu")))


def made(generator, real, n=25, **choices):
    return interpolate(Source("a", real, generator), n, SynthesisConfig(**choices), seed=1)


@pytest.mark.parametrize(("detail", "alpha", "end"), [("auto", 0.0, 0), ("auto", 1.0, 1), ("change", 0.0, 0)])
def test_the_ends_are_the_real_images_in_full_size(generator, real, detail, alpha, end):
    new = made(generator, real, detail=detail, alpha_mode="grid", alpha=(alpha,))
    rows = [real.ids.index(o["parents"][end]) for o in new.provenance]
    assert torch.equal(new.images, real.images[rows])


def test_in_between_it_is_the_enlarged_image_and_what_the_parent_lost_at_full_size(generator, real):
    new = made(generator, real, alpha_mode="grid", alpha=(0.4,))
    mean, _ = generator.encode(real.images, "a")
    first, second = ([real.ids.index(o["parents"][e]) for o in new.provenance] for e in (0, 1))
    decoded = generator.decode(0.6 * mean[first] + 0.4 * mean[second], "a")
    lost = to_float(real.images[first]) - generator.decode(mean[first], "a")
    assert int((new.images.int() - to_uint8((decoded + lost).clamp(0, 1)).int()).abs().max()) <= 1
    assert all(o["detail"] == "residual" for o in new.provenance)


def test_many_images_are_drawn_block_by_block(generator, real):
    many = made(generator, real, 300)
    assert torch.equal(made(generator, real, 258).images, many.images[:258])


def test_size_and_sharpness_do_not_give_lifted_images_away(generator, real):
    """What the classifier of real and synthetic images reaches on both ways of making images of one generator."""
    plan, found, sharpness = {"a": 40}, {}, {}
    for detail in ("auto", "none"):
        new = synthesise(generator, real, plan, SynthesisConfig(detail=detail, **INSIDE), seed=2).images
        found[detail] = measure_separability(real, new, most=100, seed=3)
        sharpness[detail] = measure_appearance(new.images, real.images).sharpness
    assert found["none"].auc > 0.99
    assert found["auto"].auc < found["none"].auc - 0.15
    assert sharpness["none"] < 0.5
    assert sharpness["auto"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("strategy", ["interpolate", "reconstruct", "prior", "duplicate", "mixup"])
def test_every_strategy_gives_images_of_the_stored_size_and_says_what_they_are(generator, real, strategy):
    config = SynthesisConfig(strategy=strategy, **INSIDE)
    new = synthesise(generator, real, {"a": 5}, config, seed=2).images
    assert new.images.shape == (5, 1, SIZE, SIZE)
    origins = [json.loads(text) for text in new.provenance]
    lifted, uses_generator = strategy == "interpolate", strategy not in ("duplicate", "mixup")
    assert {o.get("learnt_size") for o in origins} == ({LEARNT} if uses_generator else {None})
    assert {o.get("detail") for o in origins} == ({"residual"} if lifted else {None})
    assert enlarged_from(generator, config) == (LEARNT if uses_generator and not lifted else None)


def test_only_where_the_generator_learns_smaller_images(generator, real):
    same = registry.create(GeneratorConfig(image_size=SIZE), ("a",), 1, SIZE)
    assert Source("a", real, same).kept_detail(SynthesisConfig()) == "none"
    assert Source("a", real, generator).kept_detail(SynthesisConfig()) == "residual"
    assert Source("a", real, generator).kept_detail(SynthesisConfig(detail="none")) == "none"
    assert Source("a", real, same).kept_detail(SynthesisConfig(detail="change")) == "change"
    assert enlarged_from(generator, SynthesisConfig(detail="none")) == LEARNT
    assert enlarged_from(same, SynthesisConfig(strategy="prior")) is None


def test_what_is_drawn_of_it_is_of_the_stored_size(generator, real):
    assert sheets.reconstruction(generator, real).size[0] > 5 * SIZE
    [(name, walk)] = walks(generator, real, SynthesisConfig())
    assert (name, walk.shape) == ("a", (9, 1, SIZE, SIZE))
    [sweep] = alpha_sweep(generator, real, SynthesisConfig(), seed=1)
    assert sweep.by_alpha[0.0].novelty == 0
    assert sweep.by_alpha[0.5].sharpness == pytest.approx(1, abs=0.1)
