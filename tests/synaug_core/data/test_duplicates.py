from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from synaug_core.data import duplicates
from synaug_core.data.duplicates import connected, exact_groups, find_duplicates, near_pairs, perceptual_hash


def thumbnail(image: Image.Image | np.ndarray) -> np.ndarray:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))


def test_hash_is_that_of_imagehash(picture):
    pictures = [Image.fromarray(picture(n, 40, 50)) for n in range(40)]
    ours = perceptual_hash(np.stack([thumbnail(p) for p in pictures]))
    assert [f"{h:016x}" for h in ours] == [str(imagehash.phash(p)) for p in pictures]


def test_altered_copies_are_found_and_others_are_not(picture, encode):
    originals = [Image.fromarray(picture(n, 60, 80)) for n in range(40)]
    first = originals[0]
    copies = [
        Image.open(io.BytesIO(encode(first, "JPEG", quality=40))),
        first.resize((40, 30)),
        ImageEnhance.Brightness(first).enhance(0.8),
        ImageEnhance.Contrast(first).enhance(0.8),
        first.convert("L"),
    ]
    pairs = near_pairs(np.stack([thumbnail(i) for i in originals + copies]), 6, 0.97)
    assert {tuple(p) for p in pairs.tolist()} >= {(0, 40 + n) for n in range(5)}
    assert set(pairs.flatten().tolist()) == {0, *range(40, 45)}


def test_what_all_images_share_makes_no_duplicates(picture):
    """Discs on black that differ only inside: plain correlation of thumbnails takes them for copies."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    disc = (x**2 + y**2 < 0.9) * 200.0
    texture = np.stack([picture(n, 32, 32, colour=False) for n in range(60)]) / 255 - 0.5
    thumbnails = np.clip(disc + 20 * texture * (disc > 0), 0, 255).astype(np.uint8)
    flat = thumbnails.reshape(60, -1).astype(float)
    assert np.corrcoef(flat)[np.triu_indices(60, 1)].min() > 0.97
    assert len(near_pairs(thumbnails, 64, 0.97)) == 0


def test_two_copies_alone_are_found(picture):
    one = picture(1, 32, 32, colour=False)
    assert near_pairs(np.stack([one, np.clip(one.astype(int) + 1, 0, 255).astype(np.uint8)]), 6, 0.97).tolist() == [
        [0, 1]
    ]


def test_flat_images_are_alike_only_if_equal():
    flat = np.stack([np.full((32, 32), v, dtype=np.uint8) for v in (0, 10, 255)])
    assert len(near_pairs(flat, 64, 0.5)) == 0


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
def test_blocks_do_not_change_the_pairs(block, rng):
    base = rng.integers(0, 256, (20, 32, 32), dtype=np.uint8)
    thumbnails = np.concatenate([base, base, base])
    expected = sorted((i, j) for i in range(60) for j in range(i + 1, 60) if (j - i) % 20 == 0)
    assert sorted(map(tuple, near_pairs(thumbnails, 0, 0.99, block=block).tolist())) == expected


def test_exact_groups_and_clusters(rng):
    assert exact_groups(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    thumbnails = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
    found = find_duplicates(thumbnails[[0, 1, 0, 2, 1]], ["a", "b", "a", "c", "b2"], 0, 0.99)
    assert found.near.tolist() == [[1, 3]]
    clusters = found.clusters().tolist()
    assert clusters[0] == clusters[2] != clusters[1]
    assert clusters[1] == clusters[4] != clusters[3]
    assert len(find_duplicates(thumbnails[[0, 0]], ["a", "b"], -1, 0.9).near) == 0


def test_connected():
    assert connected(5, np.array([[0, 3], [3, 4]])).tolist() == [0, 1, 2, 0, 0]
    assert connected(2, np.empty((0, 2), dtype=np.int64)).tolist() == [0, 1]


def test_correlation_is_that_of_the_residuals(rng):
    """Against the definition, pair by pair."""
    faces = rng.normal(size=(9, 1024)) + rng.normal(size=1024)
    unit = duplicates._unit(faces)
    i, j = np.triu_indices(9, 1)
    found = duplicates._apart_from_others(unit, unit.sum(axis=0, dtype=np.float64), i, j)
    for a, b, value in zip(i, j, found, strict=True):
        mean = np.delete(unit, [a, b], axis=0).mean(axis=0)
        assert value == pytest.approx(np.corrcoef(unit[a] - mean, unit[b] - mean)[0, 1], abs=1e-5)
