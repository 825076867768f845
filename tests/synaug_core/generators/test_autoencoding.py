import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.generators import autoencoding, pixels, randoms
from synaug_core.seeds import stream


@given(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.4]), st.integers(0, 99))
def test_every_image_is_either_trained_on_or_held_out(n, share, seed):
    rows, held_out = autoencoding.hold_out(n, share, seed)
    assert sorted([*rows.tolist(), *held_out.tolist()]) == list(range(n))
    assert len(held_out) == (max(1, round(share * n)) if share and n >= 10 else 0)


@given(st.integers(1, 30), st.integers(0, 9))
def test_a_block_shows_every_image_before_any_comes_again(n, number):
    rows = torch.arange(100, 100 + n)
    batch = min(8, n)
    shown = autoencoding.draw_block(rows, 5, number, steps=6, batch=batch, latent=2, augment="none").rows.flatten()
    for start in range(0, len(shown) - n + 1, n):
        assert sorted(shown[start : start + n].tolist()) == rows.tolist()
    counts = torch.bincount(shown - 100, minlength=n)
    assert int(counts.max() - counts.min()) <= 1


def test_blocks_repeat_and_differ():
    def block(number, seed=5):
        return autoencoding.draw_block(torch.arange(20), seed, number, steps=3, batch=8, latent=2, augment="mirror")

    one, same, next_one = block(0), block(0), block(1)
    assert torch.equal(one.rows, same.rows)
    assert torch.equal(one.noise, same.noise)
    assert torch.equal(one.mirrored, same.mirrored)
    assert not torch.equal(one.noise, next_one.noise)
    assert not torch.equal(one.noise, block(0, seed=6).noise)
    assert 0 < float(one.mirrored.float().mean()) < 1


def test_where_images_lie_in_the_pool_changes_no_draw():
    here = autoencoding.draw_block(torch.arange(9), 1, 0, steps=2, batch=4, latent=2, augment="none")
    there = autoencoding.draw_block(torch.arange(9) + 50, 1, 0, steps=2, batch=4, latent=2, augment="none")
    assert torch.equal(here.rows + 50, there.rows)
    assert torch.equal(here.noise, there.noise)


def test_an_examination_looks_at_all_images_or_many():
    trained, none = torch.arange(100, 1100), torch.tensor([], dtype=torch.int64)
    few = autoencoding.draw_exam(trained, torch.tensor([4, 7, 9]), 1, 2)
    assert sorted(few.rows.flatten().unique().tolist()) == [4, 7, 9]
    assert few.rows.shape[1] >= 32
    assert autoencoding.draw_exam(trained, torch.arange(1000), 1, 2).rows.shape == (1, 256)
    assert autoencoding.draw_exam(trained, none, 1, 2).rows.shape == (1, 32)


@given(st.integers(1, 600), st.integers(0, 600))
def test_random_rows_begin_alike(n, fewer):
    fewer = min(n, fewer)
    assert torch.equal(randoms.normal(n, 3, 1)[:fewer], randoms.normal(fewer, 3, 1))
    assert torch.equal(randoms.uniform(n, 2, 1)[:fewer], randoms.uniform(fewer, 2, 1))
    assert torch.equal(randoms.cycle(n, 7, 1)[:fewer], randoms.cycle(fewer, 7, 1))


def test_random_rows_are_what_they_say():
    normal, uniform = randoms.normal(5000, 4, 2), randoms.uniform(5000, 4, 2)
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert abs(float(uniform.mean()) - 0.5) < 0.02
    assert 0 <= float(uniform.min()) <= float(uniform.max()) < 1
    assert sorted(randoms.cycle(14, 7, 3)[7:].tolist()) == list(range(7))


@pytest.mark.parametrize(("augment", "ways"), [("mirror", 2), ("auto", 2), ("both", 4), ("all", 8)])
def test_images_are_mirrored_in_each_way_equally_often(augment, ways):
    codes = pixels.draw_mirrors((50, 80), augment, stream(1))
    assert codes.unique().tolist() == list(range(ways))
    assert codes.flatten().bincount() / 4000 == pytest.approx([1 / ways] * ways, abs=0.03)
    assert pixels.draw_mirrors((2, 3), "none", stream(1)) is None


def test_a_batch_is_mirrored_as_its_codes_say():
    images = torch.arange(24, dtype=torch.uint8).view(1, 2, 3, 4)
    pool = pixels.ImagePool(images, torch.device("cpu"))
    batch = pool.batch(torch.zeros(1, 4, dtype=torch.int64), torch.tensor([[0, 1, 2, 3]], dtype=torch.uint8))
    expected = [images[0], images[0].flip(2), images[0].flip(1), images[0].flip(1, 2)]
    assert torch.equal((batch[0] * 255).round().to(torch.uint8), torch.stack(expected))


def test_all_symmetries_of_a_square_are_its_turns_and_their_mirror_images():
    images = torch.arange(18, dtype=torch.uint8).view(2, 1, 3, 3)
    pool = pixels.ImagePool(images, torch.device("cpu"), "all")
    batch = pool.batch(torch.ones(8, dtype=torch.int64), torch.arange(8, dtype=torch.uint8))
    turned = [torch.rot90(images[1], number, (1, 2)) for number in range(4)]
    expected = {tuple(x.flatten().tolist()) for turn in turned for x in (turn, turn.flip(2))}
    shown = {tuple(x.flatten().tolist()) for x in (batch * 255).round().to(torch.uint8)}
    assert shown == expected
    assert len(shown) == 8
