import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.nets.blocks import Down, ShuffledUp, Up, as_channels_last, group_norm, halvings, logit, widths
from synaug_core.seeds import seeded_init, stream


@given(st.integers(5, 200))
def test_halvings_go_down_as_a_stride_2_convolution_does(size):
    sizes = halvings(size)
    assert sizes[0] == size
    assert 3 <= sizes[-1] <= 4
    for above, below in itertools.pairwise(sizes):
        assert below == torch.nn.Conv2d(1, 1, 3, 2, 1)(torch.zeros(1, 1, above, above)).shape[-1]
        assert above in (2 * below, 2 * below - 1)


def test_widths_double_up_to_four_times():
    assert widths(24, 5) == (24, 48, 96, 96, 96)


@pytest.mark.parametrize("channels", [1, 6, 7, 24, 96])
def test_group_norm_divides_the_channels(channels):
    assert channels % group_norm(channels).num_groups == 0


@pytest.mark.parametrize("size", [7, 8])
def test_up_gives_the_size_asked_for(size):
    assert Up(4, 2, size)(torch.zeros(3, 4, 4, 4)).shape == (3, 2, size, size)
    assert Down(2, 4)(torch.zeros(3, 2, size, size)).shape == (3, 4, 4, 4)


def test_up_touches_every_inner_pixel_equally_often():
    up = Up(1, 1, 16, to_image=True)
    torch.nn.init.ones_(up.grow.weight)
    torch.nn.init.zeros_(up.grow.bias)
    inner = up(torch.ones(1, 1, 8, 8))[..., 1:-1, 1:-1]
    assert inner.unique().numel() == 1


def test_as_channels_last_needs_no_copy():
    flat = torch.arange(2 * 3 * 3 * 5.0).view(2, 45)
    images = as_channels_last(flat, 5, 3)
    assert images.shape == (2, 5, 3, 3)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.data_ptr() == flat.data_ptr()


def test_logit_is_undone_by_the_sigmoid_and_finite_at_the_ends():
    share = torch.tensor([0.0, 0.3, 1.0])
    torch.testing.assert_close(torch.sigmoid(logit(share)), torch.tensor([0.02, 0.3, 0.98]))


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("last", [False, True])
def test_a_pixel_shuffle_computes_what_the_transposed_convolution_does(size, last):
    with seeded_init(2):
        up = Up(6, 5, size, to_image=last)
    x = torch.randn(3, 6, 4, 4, generator=stream(0))
    torch.testing.assert_close(ShuffledUp(up)(x), up(x))
