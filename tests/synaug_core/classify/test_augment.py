from __future__ import annotations

import pytest
import torch

from synaug_core.classify.augment import augment
from synaug_core.config import AugmentationConfig
from synaug_core.seeds import stream

STILL = {
    "probability": 1,
    "mirror": "none",
    "rotation": 0,
    "translation": 0,
    "scale": 0,
    "brightness": 0,
    "contrast": 0,
}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(40, 3, 12, 12, generator=stream(0))


def _with(**ranges: object) -> AugmentationConfig:
    return AugmentationConfig.model_validate({**STILL, **ranges})


def test_strength_zero_is_the_identity(images):
    config = AugmentationConfig(probability=1, mirror="none", strength=0)
    assert torch.equal(augment(images, config, stream(1)), images)


def test_strength_zero_still_mirrors_about_half(images):
    out = augment(images, AugmentationConfig(probability=1, mirror="horizontal", strength=0), stream(1))
    kept = (out == images).flatten(1).all(1)
    flipped = (out == images.flip(-1)).flatten(1).all(1)
    assert (kept ^ flipped).all()
    assert 8 < int(flipped.sum()) < 32


@pytest.mark.parametrize("mirror", ["horizontal", "both"])
def test_mirroring_within_the_resampling_agrees_with_flips(images, mirror):
    out = augment(images, _with(mirror=mirror), stream(1))
    exact = augment(images, _with(mirror=mirror, strength=0), stream(1))
    torch.testing.assert_close(out, exact, atol=1e-5, rtol=0)


def test_shape_range_and_dtype(images):
    out = augment(
        images, AugmentationConfig(probability=1, mirror="both", strength=2, rotation=180, scale=0.9), stream(1)
    )
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert out.min() >= 0
    assert out.max() <= 1
    assert out.isfinite().all()


def test_images_differ_from_each_other_and_the_stream_repeats():
    same = torch.rand(1, 1, 12, 12, generator=stream(0)).expand(8, 1, 12, 12)
    out = augment(same, AugmentationConfig(probability=1), stream(1))
    assert len({tuple(i.flatten().tolist()) for i in out}) == 8
    assert torch.equal(out, augment(same, AugmentationConfig(probability=1), stream(1)))


def test_shift_is_a_share_of_the_side():
    image = torch.zeros(300, 1, 21, 21)
    image[:, :, 10, 10] = 1
    out = augment(image, _with(translation=0.2), stream(1))
    where = torch.arange(21.0)
    centre = (out.sum(2) * where).sum(-1) / out.sum((2, 3))
    offset = (centre - 10).abs()
    assert offset.max() <= 0.2 * 21 + 1e-3
    assert offset.max() > 0.15 * 21


def test_rotation_keeps_the_centre():
    image = torch.zeros(50, 1, 21, 21)
    image[:, :, 10, 10] = 1
    out = augment(image, _with(rotation=90), stream(1))
    torch.testing.assert_close(out[:, 0, 10, 10], torch.ones(50), atol=1e-4, rtol=0)


def test_rotation_by_a_quarter_turn_agrees_with_rot90():
    image = torch.rand(2000, 1, 9, 9, generator=stream(2))[:1].expand(2000, 1, 9, 9)
    out = augment(image, _with(rotation=90), stream(1))
    nearest = (out - torch.rot90(image, 1, (2, 3))).abs().amax((1, 2, 3)).min()
    assert nearest < 0.02


def test_brightness_and_contrast_bounds():
    grey = torch.full((200, 1, 4, 4), 0.5)
    change = augment(grey, _with(brightness=0.2), stream(1)) - 0.5
    assert 0.15 < change.abs().max() <= 0.2 + 1e-6
    half = torch.full((200, 1, 4, 4), 0.4)
    half[..., :2] = 0.6
    spread = augment(half, _with(contrast=0.5), stream(1)).std((1, 2, 3)) / half.std((1, 2, 3))
    assert spread.min() >= 1 / 1.5 - 1e-4
    assert spread.max() <= 1.5 + 1e-4
    assert spread.max() > 1.3
