"""Disturbed images: what they keep, what they change, and that they are not those of the training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.config import AugmentationConfig, RobustnessConfig
from synaug_core.probes.robustness.perturbations import PARAMETERS, SEVERITIES, perturb
from synaug_core.seeds import stream

NAMES = tuple(PARAMETERS)


def noise(n: int = 4, channels: int = 3, side: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, side, side), generator=stream(n), dtype=torch.uint8)


def smooth(n: int = 6, side: int = 24) -> torch.Tensor:
    """A different soft blob in each image."""
    at = torch.arange(side, dtype=torch.float32)
    centre = torch.rand(n, 2, generator=stream(3)) * side
    d = (at.view(1, -1, 1) - centre[:, 0].view(-1, 1, 1)) ** 2 + (at.view(1, 1, -1) - centre[:, 1].view(-1, 1, 1)) ** 2
    return (40 + 150 * torch.exp(-d / 60)).round().to(torch.uint8).unsqueeze(1)


def test_every_perturbation_of_the_configuration_is_there():
    assert set(RobustnessConfig().perturbations) == set(NAMES)
    assert all(len(values) == SEVERITIES for values in PARAMETERS.values())


@given(
    st.sampled_from(NAMES),
    st.integers(0, SEVERITIES),
    st.integers(1, 4),
    st.sampled_from([1, 3]),
    st.sampled_from([3, 8, 17]),
)
def test_shape_and_type_stay(name, severity, n, channels, side):
    images = noise(n, channels, side)
    before = images.clone()
    after = perturb(images, name, severity, seed=5)
    assert (after.dtype, after.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_changes_nothing(name):
    assert torch.equal(perturb(noise(), name, 0, 1), noise())


@pytest.mark.parametrize("name", NAMES)
def test_no_images_are_none_disturbed(name):
    assert perturb(noise()[:0], name, 3, 1).shape == (0, 3, 12, 12)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides(name):
    assert torch.equal(perturb(smooth(), name, 3, 1), perturb(smooth(), name, 3, 1))
    state = torch.get_rng_state()
    perturb(smooth(), name, 5, 1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"contrast", "blur"}))
def test_another_seed_draws_otherwise(name):
    assert any(not torch.equal(perturb(noise(8), name, 3, 1), perturb(noise(8), name, 3, seed)) for seed in range(2, 6))


@pytest.mark.parametrize("name", NAMES)
def test_every_severity_moves_the_pixels_further(name):
    images = smooth(24)
    moved = [(perturb(images, name, s, 7).float() - images.float()).abs().mean() for s in range(SEVERITIES + 1)]
    assert moved[1] > 0
    assert moved[5] > 1.5 * moved[1]
    if name != "rotation":  # a blob may come back to where it was
        assert all(a < b for a, b in itertools.pairwise(moved))


def test_flip_mirrors_at_the_diagonal_and_once_flipped_stays_so():
    images = noise(40)
    flipped = [(perturb(images, "flip", s, 3) == images.transpose(2, 3)).flatten(1).all(1) for s in range(1, 6)]
    assert flipped[4].all()
    assert all((a <= b).all() for a, b in itertools.pairwise(flipped))
    assert 2 <= int(flipped[0].sum()) <= 16


def test_a_quarter_turn_is_exact():
    images = noise(20)
    turned = perturb(images, "rotation", 5, 2)
    left, right = (torch.rot90(images, k, (2, 3)) for k in (1, -1))
    near = [(turned.int() - to.int()).abs().flatten(1).amax(1) <= 1 for to in (left, right)]
    assert (near[0] | near[1]).all()
    assert near[0].any()
    assert near[1].any()


def test_brightness_multiplies_the_light():
    images = torch.full((30, 1, 4, 4), 60, dtype=torch.uint8)
    values = set(perturb(images, "brightness", 4, 0)[:, 0, 0, 0].tolist())
    assert values == {30, 120}  # one stop either way


def test_contrast_keeps_the_mean():
    images = smooth()
    less = perturb(images, "contrast", 5, 0).float()
    assert torch.allclose(less.mean((1, 2, 3)), images.float().mean((1, 2, 3)), atol=0.6)
    assert torch.allclose(less.std((1, 2, 3)), 0.2 * images.float().std((1, 2, 3)), rtol=0.1, atol=0.4)


def test_noise_has_the_stated_spread():
    images = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    for severity, spread in enumerate(PARAMETERS["noise"], 1):
        assert perturb(images, "noise", severity, 0).float().std() / 255 == pytest.approx(spread, rel=0.03)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_blur_agrees_with_scipy(severity):
    from scipy import ndimage

    images = noise(3, 3, 28)
    spread = PARAMETERS["blur"][severity - 1] * 28
    reach = int(np.ceil(3 * spread))
    expected = ndimage.gaussian_filter(
        images.numpy().astype(np.float64), (0, 0, spread, spread), mode="mirror", radius=(0, 0, reach, reach)
    )
    assert np.abs(perturb(images, "blur", severity, 0).numpy() - expected).max() <= 0.51


def test_crop_shows_a_part_of_the_image():
    ramp = torch.arange(0, 240, 10, dtype=torch.uint8).expand(20, 1, 24, 24)
    shown = perturb(ramp, "crop", 5, 1).float()
    width = shown[:, 0, 0, -1] - shown[:, 0, 0, 0]
    assert torch.allclose(width, torch.tensor(0.4 * 240), atol=14)
    assert shown[:, 0, 0, 0].std() > 10  # at different places


def test_the_severities_lie_beyond_the_training():
    trained = AugmentationConfig()
    assert min(PARAMETERS["rotation"]) > trained.rotation
    assert max(PARAMETERS["contrast"]) < 1 / (1 + trained.contrast)
    assert max(PARAMETERS["crop"]) < 1 / (1 + trained.scale)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((noise().float(), "noise", 1, 0), "uint8"),
        ((noise()[0], "noise", 1, 0), "uint8"),
        ((noise()[..., :5], "noise", 1, 0), "uint8"),
        ((noise(), "fog", 1, 0), "fog"),
        ((noise(), "noise", 6, 0), "severity"),
        ((noise(), "noise", -1, 0), "severity"),
    ],
)
def test_what_cannot_be_disturbed_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        perturb(*arguments)
