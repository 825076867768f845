from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from synaug_core.data.resize import resize, with_channels


def test_same_size_is_untouched(picture):
    pixels = picture(1, 28, 28)
    assert resize(pixels, 28) is pixels


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (1, 9), (300, 100), (7, 7)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("colour", [True, False])
def test_shapes(shape, fit, colour, picture):
    found = resize(picture(1, *shape, colour), 16, fit)
    assert found.shape == ((16, 16, 3) if colour else (16, 16))
    assert found.dtype == np.uint8


def test_crop_keeps_the_centre_square(picture):
    pixels = picture(2, 32, 64)
    expected = Image.fromarray(pixels[:, 16:48]).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(resize(pixels, 16), np.asarray(expected), atol=1)


def test_pad_keeps_everything():
    pixels = np.zeros((20, 40), dtype=np.uint8)
    pixels[:, 0], pixels[:, -1] = 255, 255
    found = resize(pixels, 40, "pad")
    np.testing.assert_array_equal(found[10:30], pixels)
    assert (found[:, 0] == 255).all()


@pytest.mark.parametrize("shape", [(20, 41), (41, 20), (1, 9), (300, 100), (7, 200), (16, 3)])
@pytest.mark.parametrize("colour", [True, False])
def test_pad_is_what_the_whole_padded_square_gives(shape, colour, picture, monkeypatch):
    monkeypatch.setattr("synaug_core.data.resize._BAND_PIXELS", 300)
    pixels, side = picture(1, *shape, colour), max(shape)
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in shape] + [(0, 0)] * (pixels.ndim - 2)
    whole = Image.fromarray(np.pad(pixels, margins, mode="edge")).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(pixels, 16, "pad"), np.asarray(whole))


def test_padding_a_long_image_takes_little_memory():
    """The square of its longer side would be 3.6 GB."""
    tracemalloc.start()
    try:
        found = resize(np.full((2, 60_000), 7, dtype=np.uint8), 16, "pad")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert (found == 7).all()


def test_shrinking_does_not_alias():
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(resize(board, 16).astype(float) - 127.5).max() < 2


def test_constant_stays_constant():
    for size in (16, 64, 100):
        assert (resize(np.full((33, 47, 3), 77, dtype=np.uint8), size) == 77).all()


def test_with_channels(picture):
    colour, grey = picture(1), picture(1, colour=False)
    assert with_channels(colour, 3).shape == (3, 24, 24)
    np.testing.assert_array_equal(with_channels(colour, 1)[0], np.asarray(Image.fromarray(colour).convert("L")))
    np.testing.assert_array_equal(with_channels(with_channels(grey, 3).transpose(1, 2, 0), 1)[0], grey)
