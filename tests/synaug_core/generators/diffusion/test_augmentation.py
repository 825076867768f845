"""The network is given the augmentation of its images, and no augmentation changes nothing."""

import torch

from synaug_core.generators.diffusion import AUGMENTATIONS, augment, draw_augmentations
from synaug_core.nets.denoiser import Denoiser
from synaug_core.seeds import seeded_init, stream


def images(n=4, size=9):
    return torch.rand(n, 1, size, size, generator=stream(1))


def vector(n=4, **columns):
    numbers = torch.zeros(n, AUGMENTATIONS)
    for column, value in columns.items():
        numbers[:, int(column[1:])] = value
    return numbers


def test_zeros_are_nothing():
    assert torch.equal(augment(images(), vector()), images())


def test_zeros_add_nothing_to_the_network():
    """The condition enters without an offset, so that no augmentation and no class are the zero vector."""
    with seeded_init(0):
        network = Denoiser(1, 8, 8, 2 + AUGMENTATIONS)
    zero = torch.zeros(1, 2 + AUGMENTATIONS)
    assert torch.equal(network.condition(zero), torch.zeros(1, 32))


def test_each_number_does_what_it_says():
    x = images()
    assert torch.allclose(augment(x, vector(c0=1.0)), x.flip(-2), atol=1e-5)
    half_turn = augment(x, vector(c2=-2.0))
    assert torch.allclose(half_turn, x.flip(-1, -2), atol=1e-5)
    quarter = augment(x, vector(c2=-1.0, c3=1.0))
    assert any(torch.allclose(quarter, torch.rot90(x, k, (-2, -1)), atol=1e-5) for k in (1, 3))
    one_pixel = 1 / 9 / 0.125
    assert torch.allclose(augment(x, vector(c4=one_pixel))[..., 1:], x[..., :-1], atol=1e-5)
    assert torch.allclose(augment(x, vector(c5=one_pixel))[..., 1:, :], x[..., :-1, :], atol=1e-5)
    disc = (torch.linspace(-1, 1, 33)[:, None] ** 2 + torch.linspace(-1, 1, 33) ** 2 < 0.2).float()[None, None]
    larger = augment(disc, vector(1, c1=2.5))
    assert abs(float(larger.sum() / disc.sum()) - 2) < 0.15  # log2 of the scale 0.5: sides x 1.41


def test_draws_are_rare_and_independent():
    numbers = draw_augmentations(20_000, stream(3))
    assert numbers.shape == (20_000, AUGMENTATIONS)
    share = [float((numbers[:, c] != 0).float().mean()) for c in (0, 1, 3, 4)]
    assert all(abs(s - 0.12) < 0.01 for s in share)
    assert torch.equal(numbers[:, 4] != 0, numbers[:, 5] != 0)
    assert abs(float((~numbers.any(1)).float().mean()) - 0.88**4) < 0.015
    turned = numbers[numbers[:, 3] != 0]
    assert torch.allclose((turned[:, 2] + 1) ** 2 + turned[:, 3] ** 2, torch.ones(len(turned)), atol=1e-5)
