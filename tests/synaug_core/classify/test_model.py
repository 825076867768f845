from __future__ import annotations

import pytest
import torch
from torch import nn

from synaug_core.classify.model import Classifier, Dropout, build
from synaug_core.config import ClassifierConfig
from synaug_core.errors import ConfigError
from synaug_core.nets.small_cnn import SmallCNN
from synaug_core.seeds import stream


def _small(channels: int = 3, size: int = 28, *, seed: int = 1, **config: object) -> Classifier:
    settings = ClassifierConfig(width=4, **config)
    unit = (0.5,) * channels
    return build(settings, channels=channels, size=size, classes=("a", "b", "c"), seed=seed, mean=unit, std=unit)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 20, 28, 32, 63, 64, 128])
def test_small_cnn_takes_all_sizes(channels, size):
    net = SmallCNN(channels, size, width=2)
    assert net(torch.zeros(2, channels, size, size)).shape == (2, net.features)
    last = net.blocks(torch.zeros(1, channels, size, size))
    assert 3 <= last.shape[-1] <= 5


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="15 px"):
        SmallCNN(1, 15)
    with pytest.raises(ConfigError, match="at least 16 px"):
        _small(size=12)


def test_small_cnn_has_no_pretrained_weights():
    with pytest.raises(ConfigError, match="small_cnn has no pretrained weights"):
        _small(pretrained=True)


def test_uint8_and_float_images_agree():
    model = _small().eval()
    images = torch.randint(0, 256, (4, 3, 28, 28), dtype=torch.uint8, generator=stream(0))
    torch.testing.assert_close(model(images), model(images.float() / 255))


def test_normalisation_is_inside():
    model = Classifier(nn.Flatten(), 4, 2, mean=(0.25,), std=(0.5,), dropout=0.0)
    images = torch.rand(3, 1, 2, 2, generator=stream(0))
    torch.testing.assert_close(model.features(images), ((images - 0.25) / 0.5).flatten(1))


def test_grey_is_repeated_where_three_channels_are_normalised():
    model = Classifier(nn.Flatten(), 12, 2, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), dropout=0.0)
    features = model.features(torch.ones(1, 1, 2, 2)).view(3, 4)
    torch.testing.assert_close(features[:, 0], torch.tensor([0.9, 0.8, 0.7]))


def test_logits_are_head_of_features():
    model = _small().eval()
    images = torch.rand(4, 3, 28, 28, generator=stream(0))
    torch.testing.assert_close(model(images), model.head(model.features(images)))


def test_dropout_needs_a_stream_in_training():
    with pytest.raises(ValueError, match="random stream"):
        Dropout(0.5)(torch.ones(2, 2))
    assert torch.equal(Dropout(0.5).eval()(torch.ones(2, 2)), torch.ones(2, 2))
    assert torch.equal(Dropout(0.0)(torch.ones(2, 2)), torch.ones(2, 2))


def test_dropout_keeps_the_mean_and_repeats():
    layer = Dropout(0.3).eval()  # a posterior sample: evaluation, with a stream
    x = torch.ones(200, 200)
    out = layer(x, stream(3))
    assert torch.equal(out, layer(x, stream(3)))
    assert not torch.equal(out, layer(x, stream(4)))
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_dropout_leaves_the_global_stream_alone():
    before = torch.random.get_rng_state()
    model = _small()
    model(torch.rand(2, 3, 28, 28, generator=stream(0)), stream(1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_same_seed_same_weights_whatever_the_normalisation():
    config = ClassifierConfig(width=4)
    one, two = (
        build(config, channels=1, size=28, classes=("a", "b"), seed=5, mean=(m,), std=(0.3,)) for m in (0.1, 0.6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other = build(config, channels=1, size=28, classes=("a", "b"), seed=6, mean=(0.1,), std=(0.3,))
    assert not torch.equal(one.linear.weight, other.linear.weight)


def test_a_batch_of_one_is_refused():
    with pytest.raises(ConfigError, match="batch_size"):
        _small(batch_size=1)
