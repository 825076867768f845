import pytest
import torch

from synaug_core.nets.vae import ConvVAE
from synaug_core.seeds import seeded_init, stream


@pytest.mark.parametrize("size", [8, 16, 19, 28, 30, 33, 64, 100, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_comes_back_as_it_went_in(size, channels):
    model = ConvVAE(channels, size, 4, 6)
    images = torch.rand(2, channels, size, size, generator=stream(0))
    decoded, mean, log_variance = model(images, torch.zeros(2, 6))
    assert decoded.shape == images.shape
    assert mean.shape == log_variance.shape == (2, 6)
    assert bool(((decoded >= 0) & (decoded <= 1)).all())


def test_without_noise_the_mean_is_decoded():
    model = ConvVAE(1, 16, 4, 6)
    decoded, mean, _ = model(torch.rand(2, 1, 16, 16, generator=stream(0)), torch.zeros(2, 6))
    torch.testing.assert_close(decoded, model.decoder(mean))


def test_images_of_a_batch_do_not_meet():
    with seeded_init(1):
        model = ConvVAE(3, 28, 8, 6)
    images, noise = torch.rand(4, 3, 28, 28, generator=stream(0)), torch.randn(4, 6, generator=stream(1))
    together = model(images, noise)[0]
    changed = images.clone()
    changed[1:] = 0
    torch.testing.assert_close(model(changed, noise)[0][0], together[0])


def test_posterior_variances_stay_finite():
    model = ConvVAE(1, 16, 4, 6)
    torch.nn.init.constant_(model.encoder.head.bias, 1e6)
    decoded, _, log_variance = model(torch.zeros(1, 1, 16, 16), torch.ones(1, 6))
    assert bool(log_variance.exp().isfinite().all())
    assert bool(decoded.isfinite().all())


def test_equal_seeds_build_equal_models():
    def build(seed):
        with seeded_init(seed):
            return ConvVAE(1, 16, 4, 6).state_dict()

    one, same, other = build(1), build(1), build(2)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["encoder.head.weight"], other["encoder.head.weight"])


def test_start_at_adds_the_mean_image_to_the_logits():
    model = ConvVAE(1, 16, 4, 6)
    torch.nn.init.zeros_(model.decoder.body[-1].grow.weight)
    torch.nn.init.zeros_(model.decoder.body[-1].grow.bias)
    mean = torch.rand(1, 16, 16, generator=stream(0)).clamp(0.1, 0.9)
    model.start_at(mean)
    torch.testing.assert_close(model.decoder(torch.randn(2, 6, generator=stream(1))), mean.expand(2, 1, 16, 16))


@pytest.mark.parametrize("size", [16, 28, 30, 33])
def test_the_fast_decoder_decodes_the_same(size):
    with seeded_init(3):
        model = ConvVAE(3, size, 8, 6)
    z = torch.randn(4, 6, generator=stream(1))
    fast = model.decoder.for_decoding()
    torch.testing.assert_close(fast(z), model.decoder(z))
    assert not any(p.requires_grad for p in fast.parameters())
    assert model.decoder.head.weight.requires_grad
