"""Batches: balanced, complete, repeatable."""

import pytest
import torch

from synaug_core.generators.diffusion import draw_block, draw_noise

CHOICES = {"batch": 8, "label_dropout": 0.1, "augment": "mirror", "noise_levels": 1000}


def block(counts=(50, 7, 1), number=0, steps=40, **changes):
    return draw_block(counts, 1, number, steps=steps, **(CHOICES | changes))


def test_batches_are_balanced_over_the_classes():
    counts = torch.stack([torch.bincount(labels, minlength=3) for labels in block().labels])
    assert int(counts.min()) >= 2
    assert int(counts.max()) <= 3
    assert int(counts.sum(0).max() - counts.sum(0).min()) < 40


def test_rows_belong_to_their_class_and_all_are_used():
    batches = block()
    first = torch.tensor([0, 50, 57])[batches.labels]
    count = torch.tensor([50, 7, 1])[batches.labels]
    assert ((batches.rows >= first) & (batches.rows < first + count)).all()
    for start, n in ((0, 50), (50, 7)):
        times = torch.bincount(batches.rows.flatten(), minlength=58)[start : start + n]
        assert int(times.max() - times.min()) <= 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_label_dropout_hides_its_share(share):
    hidden = block(steps=1000, label_dropout=share).hidden
    assert abs(float(hidden.float().mean()) - share) < 0.02


def test_levels_of_a_batch_are_spread_evenly():
    levels = block(steps=500).levels
    assert (levels.sort(dim=1).values // 125 == torch.arange(8)).all()
    assert int(levels.min()) < 5
    assert int(levels.max()) > 994
    assert abs(float(levels[:, 0].float().mean()) - 499.5) < 40  # a place in the batch may get any level


def test_mirroring_is_a_choice():
    assert block(augment="none").mirrored is None
    assert abs(float(block(steps=500).mirrored.float().mean()) - 0.5) < 0.05


def test_blocks_repeat_and_differ():
    assert torch.equal(block().rows, block().rows)
    assert not torch.equal(block().rows, block(number=40).rows)
    like = torch.empty(2, 1, 4, 4)
    assert torch.equal(draw_noise(like, 1, 3), draw_noise(like, 1, 3))
    assert not torch.equal(draw_noise(like, 1, 3), draw_noise(like, 1, 4))
