"""Detail-preserving interpolation begins at a real image, stays near its ends, and is as sharp as they are."""

import pytest
import torch

from synaug_core.config import SynthesisConfig
from synaug_core.generators.pixels import to_float, to_uint8
from synaug_core.synthesis.alpha_sweep import measure_appearance
from synaug_core.synthesis.interpolate import interpolate, restore_detail, takes_second_detail
from synaug_core.synthesis.strategy import Source


def made(generator, train, n=25, **choices):
    own = train.of_class("large")
    return own, interpolate(Source("large", own, generator), n, SynthesisConfig(**choices), seed=1)


@pytest.mark.parametrize("ends", ["mean", "sample"])
@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize(("detail", "alpha", "end"), [("change", 0.0, 0), ("residual", 0.0, 0), ("residual", 1.0, 1)])
def test_the_ends_are_real_images(generator, train, ends, path, detail, alpha, end):
    own, new = made(generator, train, detail=detail, ends=ends, path=path, alpha_mode="grid", alpha=(alpha,))
    rows = [own.ids.index(o["parents"][end]) for o in new.provenance]
    assert torch.equal(new.images, own.images[rows])
    assert all(o["detail"] == detail for o in new.provenance)


@pytest.mark.parametrize(("detail", "alpha", "end"), [("change", 0.8, 0), ("residual", 0.3, 0), ("residual", 0.5, 1)])
def test_in_between_it_is_the_formula(generator, train, detail, alpha, end):
    own, new = made(generator, train, detail=detail, alpha_mode="grid", alpha=(alpha,))
    _, plain = made(generator, train, alpha_mode="grid", alpha=(alpha,))
    assert [o["parents"] for o in new.provenance] == [o["parents"] for o in plain.provenance]
    mean, _ = generator.encode(own.images, "large")
    first, second = ([own.ids.index(o["parents"][e]) for o in new.provenance] for e in (0, 1))
    decoded = generator.decode((1 - alpha) * mean[first] + alpha * mean[second], "large")
    rows = (first, second)[end]
    lost = to_float(own.images[rows]) - generator.decode(mean[rows], "large")
    difference = new.images.int() - to_uint8((decoded + lost).clamp(0, 1)).int()
    assert int(difference.abs().max()) <= 1


@pytest.mark.parametrize("detail", ["change", "residual"])
@pytest.mark.parametrize("choices", [{}, {"ends": "sample", "pairing": "neighbours"}])
def test_the_first_images_stay(generator, train, detail, choices):
    _, many = made(generator, train, 70, detail=detail, **choices)
    _, few = made(generator, train, 33, detail=detail, **choices)
    assert torch.equal(few.images, many.images[:33])
    assert few.provenance == many.provenance[:33]


def test_it_is_as_sharp_as_the_real_images(generator, train):
    sharpness = {}
    for detail in ("none", "change", "residual"):
        own, new = made(generator, train, 40, detail=detail)
        sharpness[detail] = measure_appearance(new.images, own.images).sharpness
    assert sharpness["none"] < 0.7
    assert sharpness["change"] > 0.9
    assert sharpness["residual"] > 0.9


def test_whose_detail():
    alpha = torch.tensor([0.0, 0.49, 0.5, 1.0])
    assert takes_second_detail(alpha, "change").tolist() == [False] * 4
    assert takes_second_detail(alpha, "residual").tolist() == [False, False, True, True]


def test_every_level_comes_back():
    """Float rounding never moves one of the 256 levels, whatever the decoder says."""
    real = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(64, 1, 16, 16)
    decoded = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_uint8(restore_detail(decoded, real, decoded)), real)
