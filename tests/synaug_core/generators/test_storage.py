"""A module of its weights, and the weights themselves."""

import pytest
import torch
from torch import nn

from synaug_core.errors import ArtifactError
from synaug_core.generators.storage import build_module, copy_weights, strip_prefix
from synaug_core.seeds import seeded_init

CPU = torch.device("cpu")


def layer():
    with seeded_init(1):
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Dropout())


def test_a_module_of_weights_is_for_use_only():
    source = layer()
    made = build_module(layer, source.state_dict(), CPU)
    assert not made.training
    assert not any(p.requires_grad for p in made.parameters())
    assert made[0].weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.ones(1, 2, 5, 5)
    assert torch.allclose(made(images), source.eval()(images), atol=1e-6)


@pytest.mark.parametrize("change", ["shape", "missing", "more"])
def test_weights_of_another_module_are_refused(change):
    weights = dict(layer().state_dict())
    if change == "missing":
        del weights["0.bias"]
    else:
        weights["0.bias" if change == "shape" else "1.bias"] = torch.zeros(7)
    with pytest.raises(ArtifactError, match="do not fit"):
        build_module(layer, weights, CPU)


def test_copies_stay_as_they_are():
    module = layer()
    kept = copy_weights(module.state_dict())
    before = {name: value.clone() for name, value in kept.items()}
    with torch.no_grad():
        module[0].weight.zero_()
    assert all(torch.equal(kept[name], before[name]) for name in kept)


def test_names_under_a_prefix():
    one, two = torch.tensor(1), torch.tensor(2)
    assert strip_prefix("1.", {"1.a": one, "11.a": two, "a.1.": two}) == {"a": one}
