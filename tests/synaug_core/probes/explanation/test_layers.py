from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from synaug_core.classify.model import evaluating
from synaug_core.errors import UserError
from synaug_core.probes.explanation.eigengradcam import NoMapsError, find_layer, hooked


@pytest.mark.parametrize(("size", "side"), [(16, 8), (28, 7), (48, 6), (64, 8)])
def test_small_cnn_is_watched_before_its_last_pooling(classifier_of, size: int, side: int) -> None:
    model = classifier_of(size=size).model
    layer = find_layer(model, channels=3, size=size)
    assert (layer.side, layer.channels_last) == (side, False)
    assert isinstance(model.get_submodule(layer.name), nn.ReLU)
    after = list(model.backbone.blocks)[int(layer.name.split(".")[-1]) + 1 :]
    assert [type(m).__name__ for m in after] == ["MaxPool2d"]
    assert str(layer) == f"{layer.name.removeprefix('backbone.')} ({side} x {side})"


@pytest.mark.parametrize(
    ("backbone", "size", "name", "side"),
    [
        ("resnet10t", 224, "backbone.layer4", 7),
        ("resnet10t", 32, "backbone.layer3", 8),
        ("resnet50", 28, "backbone.layer3", 7),  # not the first, narrow convolution of the stage after
        ("densenet121", 32, "backbone.features.transition3.conv", 8),
    ],
)
def test_the_stage_is_the_last_that_is_fine_enough(classifier_of, backbone: str, size: int, name: str, side: int):
    layer = find_layer(classifier_of(backbone, size=size).model, channels=3, size=size)
    assert (layer.name, layer.side) == (name, side)


def test_a_coarse_network_gives_what_it_has(classifier_of) -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 4, 4, stride=4)

        def forward(self, x: Tensor) -> Tensor:
            return self.patches(x).mean(dim=(2, 3))

    assert find_layer(Patches(), channels=3, size=16).side == 4
    with pytest.raises(NoMapsError, match="4 px image"):
        find_layer(Patches(), channels=3, size=4)


def test_channels_last_stages_are_told_by_their_shape(classifier_of) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 5, 2, stride=2)
            self.norm = nn.LayerNorm(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.patches(x).permute(0, 2, 3, 1)).mean(dim=(1, 2))

    layer = find_layer(Last(), channels=3, size=16)
    assert (layer.name, layer.side, layer.channels, layer.channels_last) == ("norm", 8, 5, True)


def test_a_vision_transformer_has_no_map_and_says_so(classifier_of) -> None:
    model = classifier_of("vit_tiny_patch16_224", size=64).model
    with pytest.raises(NoMapsError, match=r"sequence of patches.*convolutional backbones have one") as error:
        find_layer(model, channels=3, size=64)
    assert isinstance(error.value, UserError)
    assert not any(m._forward_hooks for m in model.modules())


def test_the_search_leaves_the_network_as_it_was(classifier_of) -> None:
    model = classifier_of("resnet10t", size=32).model
    model.train()
    model.backbone.bn1.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    find_layer(model, channels=3, size=32)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_frozen_networks_and_callers_without_gradients_are_served(classifier_of) -> None:
    model = classifier_of("resnet10t", size=32).model
    with torch.no_grad():
        open_one = find_layer(model, channels=3, size=32)
    model.requires_grad_(False)
    assert find_layer(model, channels=3, size=32) == open_one


def test_hooks_and_modes_are_put_back_after_an_error() -> None:
    part = nn.Linear(2, 2).train()

    def broken() -> None:
        with evaluating(part), hooked(part.register_forward_hook(lambda *_: None)):
            assert not part.training
            part(torch.zeros(1, 3))

    with pytest.raises(RuntimeError):
        broken()
    assert part.training
    assert not part._forward_hooks
