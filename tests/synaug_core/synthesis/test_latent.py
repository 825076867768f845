import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from synaug_core.generators import randoms
from synaug_core.synthesis.latent import alphas, ends, find_nearest, partners, walk


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_walk_starts_and_ends_exactly(path):
    start, end = randoms.normal(50, 8, 1), randoms.normal(50, 8, 2)
    assert torch.equal(walk(start, end, torch.zeros(50), path), start)
    assert torch.equal(walk(start, end, torch.ones(50), path), end)


def test_a_straight_walk_is_the_weighted_mean():
    start, end, a = randoms.normal(9, 8, 1), randoms.normal(9, 8, 2), torch.linspace(0, 1, 9)
    torch.testing.assert_close(walk(start, end, a, "linear"), torch.lerp(start, end, a[:, None]))


def test_the_sphere_keeps_the_norm_where_the_straight_line_loses_it():
    start, end = (torch.nn.functional.normalize(randoms.normal(40, 64, s), dim=1) * 8 for s in (1, 2))
    half = torch.full((40,), 0.5)
    torch.testing.assert_close(walk(start, end, half, "spherical").norm(dim=1), torch.full((40,), 8.0))
    assert float(walk(start, end, half, "linear").norm(dim=1).mean()) < 6.5


def test_parallel_ends_are_walked_straight():
    start = randoms.normal(3, 8, 1)
    for end in (2 * start, start.clone(), -start, torch.zeros_like(start)):
        for a in (0.3, 0.5):
            point = walk(start, end, torch.full((3,), a), "spherical")
            torch.testing.assert_close(point, (1 - a) * start + a * end)


@given(st.integers(2, 30), st.integers(1, 80))
def test_partners_are_others(count, n):
    first = randoms.cycle(n, count, 1)
    second = partners(first, count, None, 2)
    assert bool((first != second).all())
    assert 0 <= int(second.min()) <= int(second.max()) < count


def test_every_other_image_can_be_the_partner():
    first = torch.zeros(400, dtype=torch.int64)
    assert partners(first, 5, None, 1).unique().tolist() == [1, 2, 3, 4]


def test_a_single_image_is_its_own_partner():
    assert partners(torch.zeros(3, dtype=torch.int64), 1, None, 0).tolist() == [0, 0, 0]


def test_nearest_are_those_that_scikit_learn_finds():
    mean = randoms.normal(40, 6, 3)
    theirs = NearestNeighbors(n_neighbors=4).fit(mean.numpy()).kneighbors(return_distance=False)
    assert find_nearest(mean, 4).tolist() == theirs.tolist()


def test_neighbours_are_clamped_to_the_class():
    assert find_nearest(randoms.normal(3, 2, 1), 5).shape == (3, 2)
    assert sorted(find_nearest(torch.zeros(3, 2), 5)[1].tolist()) == [0, 2]


def test_neighbour_partners_are_neighbours():
    near = find_nearest(randoms.normal(30, 4, 3), 3)
    first = randoms.cycle(90, 30, 1)
    second = partners(first, 30, near, 2)
    assert all(j in near[i].tolist() for i, j in zip(first.tolist(), second.tolist(), strict=True))


def test_alphas_fill_the_interval_or_go_through_the_grid():
    drawn = alphas(500, (0.2, 0.6), "uniform", 1)
    assert 0.2 <= float(drawn.min()) < 0.22
    assert 0.58 < float(drawn.max()) <= 0.6
    assert alphas(5, (0.25, 0.5, 0.75), "grid", 1).tolist() == [0.25, 0.5, 0.75, 0.25, 0.5]


def test_ends_are_means_or_samples():
    mean, log_variance = torch.zeros(4000, 2), torch.full((4000, 2), 2.0).log()
    assert ends(mean, log_variance, "mean", 1) is mean
    assert float(ends(mean, log_variance, "sample", 1).var()) == pytest.approx(2.0, rel=0.05)
