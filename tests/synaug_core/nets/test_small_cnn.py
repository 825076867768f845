"""The small network: in training it pools before ReLU, and nobody can tell by its numbers."""

from __future__ import annotations

import copy

import pytest
import torch

from synaug_core.nets.small_cnn import SmallCNN
from synaug_core.seeds import stream


@pytest.mark.parametrize("size", [16, 28, 37])
@pytest.mark.parametrize("channels", [1, 3])
def test_pooling_first_gives_the_same_bits_and_the_same_gradients(size, channels):
    torch.manual_seed(0)
    model = SmallCNN(channels, size, width=4).train().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(model)
    x = torch.randn(6, channels, size, size, generator=stream(1)).relu()  # many equal values in one window
    x[:, :, :4] = 0
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    pooled, expected = model(inputs[0]), plain.blocks(inputs[1]).mean(dim=(2, 3))
    assert torch.equal(pooled, expected)
    weights = torch.randn(pooled.shape, generator=stream(2))
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    for (name, mine), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad), name
    for mine, other in zip(model.buffers(), plain.buffers(), strict=True):
        assert torch.equal(mine, other)


def test_in_evaluation_relu_comes_first():
    """Its maps are what explanations show."""
    model, sides = SmallCNN(1, 28, width=4), []
    model.blocks[2].register_forward_hook(lambda layer, inputs, output: sides.append(output.shape[-1]))
    model.eval()(torch.zeros(1, 1, 28, 28))
    model.train()(torch.zeros(2, 1, 28, 28))
    assert sides == [28, 14]
