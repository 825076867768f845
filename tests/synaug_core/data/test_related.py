from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from synaug_core.data import related
from synaug_core.data.related import FEWEST, join_nearest, pixel_space, related_pairs


def thumbnail(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS))


def exposure(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same in other light: gain, gamma, a lamp from some side, noise."""
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    lamp = 1 + rng.uniform(0, 0.35) * (np.cos(angle) * x + np.sin(angle) * y)
    light = image / 255 * (lamp if image.ndim == 2 else lamp[..., None]) * rng.uniform(0.5, 1.2)
    noisy = np.clip(light, 0, 1) ** rng.uniform(0.75, 1.4) + rng.normal(scale=0.01, size=image.shape)
    pixels: np.ndarray = (noisy.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def part(rng: np.random.Generator, size: int = 48) -> np.ndarray:
    """A plate with four holes, always in the same place before one camera, and marks of its own."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.where((abs(x) < 0.8) & (abs(y) < 0.8), 0.6, 0.2)
    for across, down in ((-0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (0.5, -0.5)):
        image[(x - across) ** 2 + (y - down) ** 2 < 0.02] = 0.1
    for _ in range(5):
        across, down = rng.uniform(-0.6, 0.6, 2)
        width = rng.uniform(0.08, 0.2)
        image += rng.uniform(-0.3, 0.3) * np.exp(-((x - across) ** 2 + (y - down) ** 2) / width**2)
    return (image.clip(0, 1) * 255).astype(np.uint8)


def test_exposures_of_one_part_are_related_and_parts_are_not(rng: np.random.Generator) -> None:
    parts = [part(rng) for _ in range(20)]
    images = np.stack([thumbnail(exposure(p, rng)) for p in parts for _ in range(6)])
    pairs = related_pairs(images, None)
    assert (pairs[:, 0] // 6 == pairs[:, 1] // 6).all()
    joined = join_nearest(np.arange(len(images)), pairs, 12)
    assert np.unique(joined).size < 0.6 * len(images)


def test_distinct_parts_before_one_camera_are_not_related(rng: np.random.Generator) -> None:
    images = np.stack([thumbnail(exposure(part(rng), rng)) for _ in range(200)])
    assert np.corrcoef(images.reshape(200, -1))[np.triu_indices(200, 1)].mean() > 0.5
    assert len(related_pairs(images, None)) == 0
    noise = rng.normal(size=(200, 300)).astype(np.float32)
    assert len(related_pairs(images, noise + 20 * rng.normal(size=300).astype(np.float32))) == 0


def test_features_find_what_moved_and_pixels_what_features_mix_up(
    rng: np.random.Generator, picture: Callable[..., np.ndarray]
) -> None:
    images = np.stack([picture(n, 32, 32, colour=False) for n in range(120)])
    features = rng.normal(size=(120, 500)).astype(np.float32)
    features[1] = features[0] + 0.05 * rng.normal(size=500)
    assert related_pairs(images, features.copy()).tolist() == [[0, 1]]
    images[3] = exposure(images[2], rng)
    assert related_pairs(images, features.copy()).tolist()[-1] == [0, 1]
    assert [2, 3] not in related_pairs(images, features.copy()).tolist(), "their features say that they are others"
    features[3] = features[2] + 0.8 * rng.normal(size=500)
    assert [2, 3] in related_pairs(images, features.copy()).tolist()


def test_light_makes_no_difference_in_the_space_of_pixels(
    rng: np.random.Generator, picture: Callable[..., np.ndarray]
) -> None:
    images = np.stack([picture(n, 32, 32, colour=False) for n in range(100)])
    darker = (images[:1] * 0.5).astype(np.uint8)
    space = pixel_space(np.concatenate([images, darker, np.full((1, 32, 32), 7, np.uint8)]))
    distances = space.relative(slice(0, 1))[0]
    assert np.isinf(distances[0])
    assert distances[100] < 0.3 < 0.7 < distances[1:100].min()
    assert space.relative(slice(101, 102)).min() > 0.9, "what has no contrast is near nothing"


@pytest.mark.parametrize("at_once", [130, 1000])
def test_blocks_do_not_change_the_pairs(
    at_once: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.stack([thumbnail(exposure(p, rng)) for p in [part(rng) for _ in range(30)] for _ in range(4)])
    features = rng.normal(size=(30, 400)).repeat(4, axis=0) + 0.3 * rng.normal(size=(120, 400))
    whole = related_pairs(images, features.astype(np.float32))
    monkeypatch.setattr(related, "_AT_ONCE", at_once)
    assert related_pairs(images, features.astype(np.float32)).tolist() == whole.tolist()
    assert len(whole) > 60


def test_of_few_images_none_are_related(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (1, 32, 32), dtype=np.uint8).repeat(FEWEST, axis=0)
    assert related_pairs(images[1:], None).shape == (0, 2)
    assert related_pairs(images, np.ones((FEWEST, 9), np.float32)).shape == (0, 2), "nothing tells them apart"


def test_no_chain_takes_in_everything() -> None:
    chain = np.array([[n, n + 1] for n in range(99)])
    joined = join_nearest(np.arange(100), chain, 12)
    assert np.bincount(joined).max() == 12
    assert join_nearest(np.array([0, 0, 1, 2]), np.array([[2, 1], [0, 1]]), 2).tolist() == [0, 0, 1, 1]
    assert join_nearest(np.array([2, 1, 0]), np.array([[1, 2]]), 9).tolist() == [1, 1, 0]
