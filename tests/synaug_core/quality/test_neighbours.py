import numpy as np
import pytest
import torch

from synaug_core.quality import distances
from synaug_core.quality.distances import contrast, find_nearest, pairwise, spacing
from synaug_core.quality.neighbours import (
    Training,
    copying_z,
    find_nearest_training_image,
    find_similar_training_image,
    measure_copying,
    measure_nearness,
)
from synaug_core.seeds import stream


def noise(n, seed=0, size=6):
    return torch.randint(0, 256, (n, 3, size, size), generator=stream(seed), dtype=torch.uint8)


def points(n, seed=0, scale=1.0):
    return torch.randn(n, 4, generator=stream(seed)) * scale


def test_pixel_distances_are_exact_root_mean_squares():
    a, b = noise(5), noise(7, seed=1)
    plain = ((a[:, None].double() - b[None].double()) / 255).pow(2).mean((2, 3, 4)).sqrt()
    assert torch.allclose(pairwise(a, b), plain, atol=1e-12)
    assert bool((pairwise(a, a).diagonal() == 0).all())
    black, white = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert float(pairwise(black, white)) == 1


def test_neighbours_are_the_same_in_blocks(monkeypatch):
    a, b = noise(23), noise(31, seed=1)
    whole, own = find_nearest(a, b, k=3), find_nearest(a, a, k=2, same=True)
    monkeypatch.setattr(distances, "_ROWS", 4)
    monkeypatch.setattr(distances, "_COLUMNS", 5)
    for once, again in ((whole, find_nearest(a, b, k=3)), (own, find_nearest(a, a, k=2, same=True))):
        assert torch.equal(once[0], again[0])
        assert torch.equal(once[1], again[1])
    assert bool((own[1] != torch.arange(23)[:, None]).all())
    assert find_nearest(a, b[:2], k=3)[0].shape == (23, 2)
    assert find_nearest(a, b[:0])[0].shape == (23, 0)


def test_contrast_of_plain_images_is_zero_whatever_their_colour():
    plain = torch.tensor([10, 200, 90], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    assert float(contrast(plain)) == 0
    halves = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    halves[..., :2] = 255
    assert float(contrast(halves)) == pytest.approx(0.5)


def test_spacing_of_one_image_is_its_contrast():
    one = noise(1)
    assert spacing(one) == spacing(one.expand(3, -1, -1, -1)) == pytest.approx(float(contrast(one)))
    assert spacing(noise(9)) == pytest.approx(float(find_nearest(noise(9), noise(9), same=True)[0].median()))
    assert spacing(noise(0)) == 0
    assert spacing(points(1)) == 0


def test_copies_and_strangers():
    training = Training.from_points(points(30))
    copies = measure_copying(training.find_nearest(points(30)[:10]), training)
    assert (copies.distance, copies.ratio, copies.authentic) == (0, 0, 0)
    fresh = measure_copying(training.find_nearest(points(30, seed=1)), training)
    assert fresh.distance == pytest.approx(1, abs=0.3)
    assert 0.25 < fresh.authentic < 0.75
    far = measure_copying(training.find_nearest(points(30, seed=1) + 50), training)
    assert far.authentic == 1
    assert far.ratio > 0.9
    assert (far.images, far.training) == (30, 30)


def test_one_training_image_has_no_second_neighbour():
    training = Training.from_points(noise(1))
    found = measure_copying(training.find_nearest(noise(4, seed=1)), training)
    assert found.distance > 0
    assert found.ratio is found.authentic is None
    assert measure_copying(training.find_nearest(noise(0)), training) is None
    nothing = Training.from_points(noise(0))
    assert measure_copying(nothing.find_nearest(noise(3)), nothing) is None


def test_copying_z_is_scipy_s_rank_test_without_ties():
    from scipy.stats import mannwhitneyu

    random = np.random.default_rng(0)
    a, b = random.normal(size=40), random.normal(0.3, size=25)
    u = mannwhitneyu(a, b).statistic
    ours = copying_z(torch.tensor(a), torch.tensor(b))
    assert ours == pytest.approx((u - 500) / np.sqrt(40 * 25 * 66 / 12))
    assert measure_nearness(torch.tensor(a), torch.tensor(b)) == pytest.approx(1 - u / 1000)


def test_memorised_more_than_the_control():
    training = Training.from_points(points(40))
    reconstructions = points(40) + points(40, seed=1, scale=0.2)
    closer, alike = points(40) + points(40, seed=2, scale=0.02), points(40) + points(40, seed=2, scale=0.2)
    held_out = training.find_nearest(points(40, seed=3))[0][:, 0]
    base = training.find_nearest(reconstructions)[0][:, 0]
    assert measure_nearness(training.find_nearest(closer)[0][:, 0], base) > 0.95
    assert measure_nearness(training.find_nearest(alike)[0][:, 0], base) == pytest.approx(0.5, abs=0.15)
    assert measure_nearness(base, base) == 0.5
    assert copying_z(base, held_out) < -3 < copying_z(held_out, held_out) < 3
    assert measure_nearness(base, base[:0]) is copying_z(base[:0], base) is None


def test_every_synthetic_image_finds_its_nearest_training_image(striped):
    train, held = striped((6, 5, 0)), striped((3, 2, 2), seed=4)
    index, distance = find_nearest_training_image(train.take([7, 2, 10]), train)
    assert index.tolist() == [7, 2, 10]
    assert distance.tolist() == [0, 0, 0]
    index, distance = find_nearest_training_image(held, train)
    assert train.labels[index[:5]].tolist() == held.labels[:5].tolist()
    assert index[5:].tolist() == [-1, -1]
    assert bool(distance[5:].isnan().all())
    assert float(distance[0]) == pytest.approx(float(pairwise(held.images[:1], train.images[:6]).min()))


def test_the_most_similar_training_image_is_of_the_class_and_of_the_first_ones_shown(striped):
    train, images = striped((6, 5, 0)), striped((4, 3, 2), seed=1, name="held")

    def brightness(images):
        return images.images.float().mean((1, 2, 3))[:, None]

    index = find_similar_training_image(images, train, brightness, most=2)
    assert (index >= 0).tolist() == [True, True, False, False, True, True, False, False, False]
    for row in (0, 1, 4, 5):
        own = (train.labels == images.labels[row]).nonzero().flatten()
        gaps = (brightness(train)[own] - brightness(images)[row]).abs().flatten()
        assert index[row] == own[gaps.argmin()]
    assert find_similar_training_image(images.take([]), train, brightness, most=2).shape == (0,)
