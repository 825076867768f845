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
def test_blocks_do_not_change_the_pairs(block, rng, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    base = rng.integers(0, 256, (20, 32, 32), dtype=np.uint8)
    thumbnails = np.concatenate([base, base, base])
    expected = sorted((i, j) for i in range(60) for j in range(i + 1, 60) if (j - i) % 20 == 0)
    assert sorted(map(tuple, near_pairs(thumbnails, 0, 0.99).tolist())) == expected


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


def by_definition(thumbnails: np.ndarray, distance: int, correlation: float) -> list[list[int]]:
    """The rule itself, one pair after the other: hashes, and the correlation of what is left of two thumbnails of
    mean 0 and norm 1 without the mean of all others."""
    hashes, count = perceptual_hash(thumbnails), len(thumbnails)
    rows = thumbnails.reshape(count, -1).astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.where(norms < 1e-2, 0, rows / np.maximum(norms, 1e-6))
    pairs = []
    for i in range(count):
        for j in range(i + 1, count):
            mean = np.delete(rows, [i, j], axis=0).mean(axis=0) if count > 2 else 0.0
            a, b = rows[i] - mean, rows[j] - mean
            size = (a @ a) * (b @ b) * rows[i].any() * rows[j].any()
            alike = a @ b / np.sqrt(size) if size > 1e-12 else 0.0
            if int(hashes[i] ^ hashes[j]).bit_count() <= distance and alike >= correlation:
                pairs.append([i, j])
    return pairs


def scene(rng: np.random.Generator, parts: int = 3, each: int = 12, noise: float = 2.0) -> np.ndarray:
    """One camera's view of some parts: all hashes are alike, and the images of one part are near-duplicates."""
    background = 40 + 150 * (np.add.outer(np.arange(32), np.arange(32)) % 16 > 7)
    marks = rng.normal(scale=6, size=(parts, 8, 8)).repeat(4, axis=1).repeat(4, axis=2)
    images = background + marks.repeat(each, axis=0) + rng.normal(scale=noise, size=(parts * each, 32, 32))
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("dense", [-1.0, 1 / 200, 2.0])
@pytest.mark.parametrize("block", [5, 1024])
def test_pairs_are_those_of_the_definition_by_products_or_one_by_one(dense, block, rng, picture, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    monkeypatch.setattr(duplicates, "_DENSE", dense)
    others = np.stack([picture(n, 32, 32, colour=False) for n in range(9)])
    flat = np.full((2, 32, 32), 9, np.uint8)
    for images in (
        scene(rng),
        np.concatenate([scene(rng, 2, 5), others, others[:3] // 2, flat]),
        others[:2],
        others[:3],
    ):
        for distance, correlation in ((6, 0.97), (64, 0.9), (64, 0.3), (0, 0.0)):
            found = near_pairs(images, distance, correlation).tolist()
            assert found == by_definition(images, distance, correlation)
    assert len(near_pairs(scene(rng, 3, 12), 64, 0.8)) == 3 * 66


def test_verges_are_decided_in_full_precision(rng, monkeypatch):
    """A limit that is a pair's own correlation takes the pair, and the next number above it does not."""
    monkeypatch.setattr(duplicates, "_DENSE", -1.0)
    images = scene(rng)
    faces = duplicates._Faces.from_thumbnails(images)
    i, j = np.triu_indices(len(images), 1)
    exact = faces.correlate(i, j)
    for n in (0, 17, 300):
        for limit, expected in ((exact[n], True), (np.nextafter(exact[n], 2), False)):
            assert ([i[n], j[n]] in near_pairs(images, 64, float(limit)).tolist()) is expected


def test_nothing_to_compare():
    assert near_pairs(np.empty((0, 32, 32), np.uint8), 6, 0.97).shape == (0, 2)
    assert near_pairs(np.zeros((1, 32, 32), np.uint8), 6, 0.97).shape == (0, 2)
