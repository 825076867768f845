"""Differentiable augmentation: equal numbers, equal images; gradients pass; nothing is invented."""

import pytest
import torch
import torch.nn.functional as F

from synaug_core.generators.gan import CHANCES, augment
from synaug_core.seeds import stream

ALL = ("color", "translation", "cutout", "mirror")


@pytest.fixture(params=[(1, 16), (3, 19)], ids=["grey", "colour, odd"])
def images(request):
    channels, size = request.param
    return torch.rand(6, channels, size, size, generator=stream(1)) * 2 - 1


def _chances(n, seed=2):
    return torch.rand(n, CHANCES, generator=stream(seed))


def test_equal_streams_give_equal_images(images):
    one = augment(images, _chances(6), ALL)
    assert torch.equal(one, augment(images, _chances(6), ALL))
    assert not torch.equal(one, augment(images, _chances(6, seed=3), ALL))
    assert one.shape == images.shape
    assert one.dtype == torch.float32
    assert torch.equal(augment(images, _chances(6), ()), images)


def test_an_image_does_not_depend_on_its_batch(images):
    together = augment(images, _chances(6), ALL)
    assert torch.allclose(augment(images[2:3], _chances(6)[2:3], ALL), together[2:3], atol=1e-6)


def test_only_colour_leaves_the_range(images):
    made = augment(images, _chances(6), ("translation", "cutout", "mirror"))
    assert torch.isin(made, torch.cat((images.flatten(), torch.zeros(1)))).all()
    assert augment(images, _chances(6), ("color",)).isfinite().all()


@pytest.mark.parametrize("kind", ALL)
def test_gradients_pass_once_and_twice(kind):
    """Given its chances, an augmentation is affine: a difference of any length is what the gradient says."""
    random = stream(1)
    images, step, weights = (torch.randn(2, 3, 9, 9, generator=random, dtype=torch.float64) for _ in range(3))
    chances = _chances(2).double()
    images.requires_grad_()
    made = augment(images, chances, (kind,))
    (slope,) = torch.autograd.grad((weights * made).sum(), images, retain_graph=True)
    difference = (weights * (augment(images + step, chances, (kind,)) - made)).sum()
    assert torch.allclose((slope * step).sum(), difference)
    (slope,) = torch.autograd.grad(0.5 * made.square().sum(), images, create_graph=True)
    (bend,) = torch.autograd.grad((slope * step).sum(), images)
    assert torch.allclose((bend * step).sum(), (augment(images + step, chances, (kind,)) - made).square().sum())


def test_translation_is_padding_and_cropping(images):
    size, most = images.shape[-1], round(images.shape[-1] / 8)
    chances = torch.zeros(6, CHANCES)
    chances[:, 3], chances[:, 4] = 0.999, 0.0  # furthest down, furthest left
    expected = F.pad(images, (0, most, most, 0))[..., :size, most:]
    assert torch.equal(augment(images, chances, ("translation",)), expected)


def test_mirror_flips_half(images):
    chances = torch.zeros(6, CHANCES)
    chances[3:, 5] = 0.9
    made = augment(images, chances, ("mirror",))
    assert torch.equal(made[:3], images[:3].flip(-1))
    assert torch.equal(made[3:], images[3:])


def test_cutout_cuts_a_square_of_at_most_half_a_side(images):
    many, size = 2000, images.shape[-1]
    made = augment(torch.ones(many, 1, size, size), _chances(many), ("cutout",))
    cut = (made == 0).sum((1, 2, 3))
    side = round(size / 2)
    assert int(cut.max()) == side**2
    assert int(cut.min()) >= (side // 2) ** 2
    assert (made.mean(0) < 1).all()


def test_colour_keeps_what_it_should():
    grey = torch.rand(4, 1, 8, 8, generator=stream(4)) * 2 - 1
    chances = _chances(4)
    chances[:, 0], chances[:, 2] = 0.5, 0.5  # no brightness, no contrast; saturation has no hold on grey images
    assert torch.allclose(augment(grey, chances, ("color",)), grey, atol=1e-6)
    chances[:, 0] = 0.75
    assert torch.allclose(augment(grey, chances, ("color",)), grey + 0.25, atol=1e-6)
