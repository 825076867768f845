from __future__ import annotations

import math

import pytest
import torch

from synaug_core.classify.sampling import IndexSampler
from synaug_core.seeds import stream

LABELS = torch.tensor([0] * 7 + [1] * 2 + [3] * 4)


def _draw(sampler: IndexSampler, batches: int) -> torch.Tensor:
    return torch.cat([sampler.next() for _ in range(batches)])


def test_natural_epochs_are_permutations():
    drawn = _draw(IndexSampler(LABELS, 5, "natural", stream(1)), 13)  # 65 = 5 epochs of 13
    for epoch in drawn.view(5, 13):
        assert sorted(epoch.tolist()) == list(range(13))


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_batches_larger_than_the_set_go_round(sampling):
    batch = IndexSampler(LABELS, 40, sampling, stream(1)).next()
    assert batch.shape == (40,)
    assert set(batch.tolist()) == set(range(13))


def test_balanced_draws_classes_equally_and_skips_empty_ones():
    drawn = LABELS[_draw(IndexSampler(LABELS, 6, "balanced", stream(1)), 50)]
    assert torch.bincount(drawn, minlength=4).tolist() == [100, 100, 0, 100]


def test_balanced_batches_are_balanced_each():
    sampler = IndexSampler(LABELS, 6, "balanced", stream(1))
    for _ in range(20):
        assert torch.bincount(LABELS[sampler.next()], minlength=4).tolist() == [2, 2, 0, 2]


def test_balanced_draws_a_class_without_replacement():
    drawn = _draw(IndexSampler(LABELS, 3, "balanced", stream(1)), 7)  # one epoch: the largest class has 7
    assert torch.bincount(drawn, minlength=13)[:7].tolist() == [1] * 7
    assert torch.bincount(drawn, minlength=13)[9:].max() - torch.bincount(drawn, minlength=13)[9:].min() <= 1


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
@pytest.mark.parametrize("made", [0, 1, 4])
def test_a_restored_sampler_goes_on(sampling, made):
    sampler = IndexSampler(LABELS, 5, sampling, stream(1))
    _draw(sampler, made) if made else None
    state = sampler.state()
    ahead = _draw(sampler, 9)
    other = IndexSampler(LABELS, 5, sampling, stream(99))
    other.restore(state)
    assert torch.equal(_draw(other, 9), ahead)


SYNTHETIC = torch.tensor([True] * 5 + [False] * 2 + [False] * 2 + [True] * 4)
"""Two of class 0's seven images are real, all of class 1's, none of class 3's."""


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_each_epoch_has_its_share_of_real_images(share, sampling):
    shares = torch.full((4,), share)
    sampler = IndexSampler(LABELS, 7, sampling, stream(1), synthetic=SYNTHETIC, real_share=shares)
    length = 13 if sampling == "natural" else 21
    assert sampler.epoch_length == length
    drawn = _draw(sampler, 10 * length).view(-1, length)
    for epoch in drawn:
        labels = LABELS[epoch]
        counts = [7, 2, 0, 4] if sampling == "natural" else [7, 7, 0, 7]
        assert torch.bincount(labels, minlength=4).tolist() == counts
        assert int((~SYNTHETIC[epoch[labels == 0]]).sum()) == math.ceil(share * 7)
    share = torch.bincount(drawn.flatten(), minlength=13) / drawn.numel()
    torch.testing.assert_close(sampler.shares(), share.double(), atol=0.015, rtol=0)
    # of either kind all images come about equally often
    often = torch.bincount(drawn.flatten(), minlength=13).double()
    for part in (slice(0, 5), slice(5, 7), slice(7, 9), slice(9, 13)):
        spread = often[part] / often[part].mean().clamp(min=1)
        assert float(spread.max() - spread.min()) < 0.5


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_a_restored_sampler_of_both_kinds_goes_on(sampling):
    made = {"synthetic": SYNTHETIC, "real_share": torch.full((4,), 0.5)}
    sampler, other = (IndexSampler(LABELS, 5, sampling, stream(s), **made) for s in (1, 99))
    _draw(sampler, 4)
    state = sampler.state()
    ahead = _draw(sampler, 9)
    other.restore(state)
    assert torch.equal(_draw(other, 9), ahead)


def test_no_images():
    with pytest.raises(ValueError, match="no image"):
        IndexSampler(torch.empty(0, dtype=torch.int64), 5, "natural", stream(1))
