"""A network whose normalisation is folded into its convolutions computes the same function."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from synaug_core.classify.frozen.folding import fold_normalisation
from synaug_core.seeds import stream


def _with_statistics(network: nn.Module) -> nn.Module:
    """Statistics, scales and shifts as a trained network has them."""
    random = stream(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
            ):
                tensor.data.uniform_(low, high, generator=random)
    return network.eval()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
def test_the_function_is_the_same(name: str) -> None:
    network = _with_statistics(timm.create_model(name, num_classes=0))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    images = torch.randn(3, 3, 64, 64, generator=stream(1))
    folded = fold_normalisation(network, torch.randn(2, 3, 64, 64, generator=stream(2)))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules()), "every one was folded"
    with torch.no_grad():
        expected, output = network(images), folded(images)
    assert torch.allclose(output, expected, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items()), "it stays as it is"


class _Branching(nn.Module):
    """Uses the output of its convolution beside its normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.normalisation = nn.BatchNorm2d(4, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.convolution(x)
        return (maps + self.normalisation(maps)).mean((2, 3))


def test_a_network_that_cannot_be_folded_stays_the_same_function() -> None:
    network = _Branching()
    network.normalisation.running_mean.fill_(0.5)
    network.normalisation.running_var.fill_(0.1)
    images = torch.randn(2, 3, 8, 8, generator=stream(3))
    with torch.no_grad():
        assert torch.equal(fold_normalisation(network, images)(images), network.eval()(images))


def test_a_normalisation_by_the_batch_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    images = torch.randn(2, 3, 8, 8, generator=stream(4))
    folded = fold_normalisation(network, images)
    assert isinstance(folded[1], nn.BatchNorm2d)
    with torch.no_grad():
        assert torch.equal(folded(images), network(images))
