import pytest
import torch

from synaug_core.config import SynthesisConfig
from synaug_core.generators.base import Generator
from synaug_core.synthesis.alpha_sweep import ALPHAS, GRIDS, alpha_sweep, measure_appearance, walks


@pytest.fixture(scope="module")
def sweeps(generator, train):
    return alpha_sweep(generator, train, SynthesisConfig(detail="residual"), seed=0)


def test_classes_with_two_images_or_more(sweeps, train):
    assert [s.class_name for s in sweeps] == ["large", "small"]
    assert [s.images for s in sweeps] == [20, 7]
    for sweep in sweeps:
        assert tuple(sweep.by_alpha) == ALPHAS
        assert tuple(sweep.by_grid) == GRIDS
        assert sweep.walk.shape == (len(ALPHAS), 1, 16, 16)
        assert torch.equal(sweep.walk[0], sweep.ends[0])
        assert torch.equal(sweep.walk[-1], sweep.ends[1])
        assert not torch.equal(sweep.ends[0], sweep.ends[1])


def test_of_many_classes_the_rarest_are_swept(generator, train, monkeypatch):
    monkeypatch.setattr("synaug_core.synthesis.alpha_sweep._MOST_CLASSES", 1)
    [sweep] = alpha_sweep(generator, train, SynthesisConfig(), seed=0)
    [(name, row)] = walks(generator, train, SynthesisConfig())
    assert sweep.class_name == name == "small"
    assert len(row) == len(ALPHAS)


def test_what_the_place_and_the_grid_change(sweeps):
    """With `residual`, both ends are copies; a grid of two values makes nothing else, a finer one does."""
    for sweep in sweeps:
        assert sweep.by_alpha[0.0].novelty == sweep.by_alpha[1.0].novelty == 0
        assert sweep.by_alpha[0.5].novelty > sweep.by_alpha[0.25].novelty > 0
        assert sweep.by_grid[2].novelty == 0
        assert sweep.by_grid[5].novelty > 0
        assert sweep.by_grid[2].distinct <= sweep.images / sweep.new_images
        assert sweep.by_grid[5].distinct > sweep.by_grid[2].distinct
        assert sweep.uniform.distinct >= sweep.by_grid[5].distinct


def test_a_decoder_alone_is_blurred(generator, train):
    sweep, _ = alpha_sweep(generator, train, SynthesisConfig(), seed=0)
    assert sweep.class_name == "large"
    assert all(one.sharpness < 0.7 for one in sweep.by_alpha.values())
    assert sweep.by_alpha[0.0].novelty > 0


def test_it_repeats_and_is_told_under_names(sweeps, generator, train):
    config = SynthesisConfig(detail="residual")
    again, other = (alpha_sweep(generator, train, config, seed=seed) for seed in (0, 1))
    assert [s.metrics("x") for s in again] == [s.metrics("x") for s in sweeps]
    assert [s.metrics("x") for s in other] != [s.metrics("x") for s in sweeps]
    told = sweeps[0].metrics("large")
    assert len(told) == 4 * (len(ALPHAS) + len(GRIDS) + 1)
    assert {"alpha/at-0.25/sharpness/large", "alpha/grid-5/distinct/large", "alpha/uniform/variety/large"} <= set(told)


def test_the_reals_against_themselves():
    images = torch.randint(0, 256, (12, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    same = measure_appearance(images, images)
    assert (same.sharpness, same.variety, same.novelty, same.distinct) == (1, 1, 0, 1)
    assert measure_appearance(images.repeat(2, 1, 1, 1), images).distinct == 0.5
    flat = measure_appearance(torch.full_like(images, 128), images)
    assert (flat.sharpness, flat.variety, flat.distinct) == (0, 0, 1 / 12)


def test_what_is_undefined_is_none():
    plain = torch.full((3, 1, 8, 8), 7, dtype=torch.uint8)
    none = measure_appearance(plain, plain)
    assert (none.sharpness, none.variety, none.novelty, none.distinct) == (None, None, None, None)
    noise = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one = measure_appearance(noise[:1], noise)
    assert one.variety is None
    assert one.distinct == 1
    nothing = measure_appearance(noise[:0], noise)
    assert (nothing.sharpness, nothing.variety, nothing.novelty, nothing.distinct) == (None, None, None, None)


class Blank(Generator):
    """Without a latent space."""

    kind = "blank"
    fit = sample = save = load = None


def test_nothing_without_a_latent_space(generator, train):
    Blank.__abstractmethods__ = frozenset()
    assert alpha_sweep(Blank(generator.config, ("large",), 1, 16), train, SynthesisConfig(), seed=0) == []
