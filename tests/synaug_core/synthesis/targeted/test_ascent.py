import pytest
import torch

from synaug_core.synthesis.targeted.ascent import ascend, median_distance, move


def rows(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_on_a_slope_it_goes_straight_up_to_the_bound():
    slope, start = rows(1, 6, 1)[0], rows(9, 6)
    up = ascend(start, lambda z: z @ slope, steps=4, step_size=0.1, radius=1.0)
    torch.testing.assert_close(up.z, start + 0.4 * slope / slope.norm())
    torch.testing.assert_close(up.length, torch.full((9,), 0.4))
    torch.testing.assert_close(up.after, up.z @ slope)
    far = ascend(start, lambda z: z @ slope, steps=30, step_size=0.1, radius=1.0)
    torch.testing.assert_close(far.length, torch.ones(9))


def test_no_step_is_the_start():
    start = rows(5, 3)
    up = ascend(start, lambda z: z.sum(1), steps=0, step_size=0.1, radius=1.0)
    assert torch.equal(up.z, start)
    assert torch.equal(up.after, up.before)
    assert float(up.length.max()) == 0


def test_the_highest_point_is_kept():
    start = torch.tensor([[0.15, 0.0], [3.0, 0.0]])
    up = ascend(start, lambda z: -z.square().sum(1), steps=7, step_size=1.0, radius=9.0)
    torch.testing.assert_close(up.z, torch.tensor([[0.15, 0.0], [0.0, 0.0]]))  # the first could only overshoot
    assert bool((up.after >= up.before).all())


def test_rows_without_a_usable_gradient_stay_and_the_others_go():
    weight = torch.tensor([[1.0], [0.0], [torch.nan]])
    start = rows(3, 4)
    up = ascend(start, lambda z: (weight * z).sum(1), steps=2, step_size=0.5, radius=2.0)
    torch.testing.assert_close(up.length, torch.tensor([1.0, 0.0, 0.0]))
    assert bool(up.z.isfinite().all())


def test_each_row_has_its_own_step_and_bound():
    start = rows(3, 4)
    step, bound = torch.tensor([0.1, 0.2, 0.4]), torch.tensor([9.0, 0.3, 9.0])
    up = ascend(start, lambda z: z.sum(1), steps=2, step_size=step, radius=bound)
    torch.testing.assert_close(up.length, torch.tensor([0.2, 0.3, 0.8]))


def test_a_tiny_gradient_is_as_good_as_a_large_one():
    start = rows(4, 5)
    large, tiny = (ascend(start, lambda z, s=s: s * z.sum(1), steps=3, step_size=0.1, radius=1.0) for s in (1, 1e-35))
    torch.testing.assert_close(tiny.z, large.z)


def test_move():
    start, direction = rows(6, 4), rows(6, 4, 2)
    moved = move(start, direction, torch.arange(6.0))
    torch.testing.assert_close((moved - start).norm(dim=1), torch.arange(6.0))
    cosine = torch.cosine_similarity(moved - start, direction)
    torch.testing.assert_close(cosine[1:], torch.ones(5))


def test_median_distance():
    assert median_distance(torch.tensor([[0.0], [1.0], [5.0]])) == pytest.approx(4.0)
    assert median_distance(torch.tensor([[3.0, 4.0]])) == pytest.approx(5.0)
    assert median_distance(torch.full((3, 2), 2.0)) == pytest.approx(8**0.5)
    assert median_distance(torch.zeros(2, 3)) == 1.0
