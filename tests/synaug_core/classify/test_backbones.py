from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from synaug_core.classify import backbones
from synaug_core.classify.model import build
from synaug_core.config import ClassifierConfig
from synaug_core.errors import ConfigError, WeightsError
from synaug_core.seeds import stream


def _build(backbone: str, *, channels: int = 1, size: int = 28, **config: object):
    settings = ClassifierConfig.model_validate({"backbone": backbone, **config})
    unit = (0.5,) * channels
    return build(settings, channels=channels, size=size, classes=("a", "b"), seed=1, mean=unit, std=unit)


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [
        ("resnet18", 28, 1),
        ("resnet50", 32, 3),
        ("tf_efficientnetv2_b0", 28, 3),
        ("resnet18", 64, 3),
        ("resnet18d", 32, 1),
    ],
)
def test_backbones_train_at_small_sizes(name, size, channels):
    model = _build(name, size=size, channels=channels)
    images = torch.rand(2, channels, size, size, generator=stream(0))
    logits = model(images, stream(1))
    assert logits.shape == (2, 2)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_stems():
    small = _build("resnet18").backbone
    assert small.conv1.kernel_size == (3, 3)
    assert small.conv1.stride == (1, 1)
    assert isinstance(small.maxpool, torch.nn.Identity)
    assert _build("resnet18", size=64).backbone.conv1.stride == (2, 2)
    assert _build("resnet18", size=28, stem="standard").backbone.conv1.stride == (2, 2)
    assert _build("tf_efficientnetv2_b0", size=64, stem="small").backbone.conv_stem.stride == (1, 1)


def test_initialisation_as_torch_does():
    found = _build("resnet18", initialisation="torch").backbone
    again = _build("resnet18", initialisation="torch").backbone
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), again.parameters(), strict=True))
    plain = torch.nn.Conv2d(256, 512, 3)
    assert found.layer4[0].conv1.weight.std().item() == pytest.approx(plain.weight.std().item(), rel=0.02)
    assert torch.equal(found.layer4[1].bn2.weight, torch.ones(512))
    assert not _build("resnet18").backbone.layer4[1].bn2.weight.any()


def test_transformers_are_built_for_the_size():
    model = _build("vit_tiny_patch16_224", size=32, channels=3).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_building_leaves_no_random_layer_but_the_classifiers_own():
    model = _build("tf_efficientnetv2_b0")
    before = torch.random.get_rng_state()
    model(torch.rand(2, 1, 28, 28, generator=stream(0)), stream(1))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["resnet81", "resnett18", "hf_hub:someone/thing"])
def test_unknown_names(name):
    with pytest.raises(ConfigError, match="timm has no") as caught:
        _build(name)
    assert "\n" not in str(caught.value)
    if name.startswith("resnet"):
        assert "resnet18" in str(caught.value) or "resnet101" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "stem", "message"),
    [
        ("convnext_atto", 17, "auto", "convnext_atto cannot take 17 px images with the auto stem"),
        ("convnext_atto", 32, "small", "no stem that can be made small"),
        ("gcvit_xxtiny", 28, "auto", "cannot be built for 28 px images"),
    ],
)
def test_networks_that_cannot_take_the_images(name, size, stem, message):
    with pytest.raises(ConfigError, match=message) as caught:
        _build(name, size=size, stem=stem, channels=3)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


def test_weights_from_a_file(resnet_file):
    given = backbones.read_weights(resnet_file)
    model = _build("resnet18", pretrained="file", weights_file=str(resnet_file))
    held = model.backbone.state_dict()
    assert set(held) == {k for k in given if not k.startswith("fc.")}
    assert all(torch.equal(held[k], given[k]) for k in held)
    assert model.backbone.conv1.stride == (1, 1)
    assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert model.eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 2)


def test_weights_that_do_not_fit(resnet_file, tmp_path):
    state = backbones.read_weights(resnet_file)
    broken = tmp_path / "broken.safetensors"
    for change, message in (
        ({k: v for k, v in state.items() if k != "conv1.weight"}, "lack conv1.weight"),
        ({**state, "extra": torch.zeros(1)}, "unknown extra"),
        ({**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}, "another shape of conv1.weight"),
    ):
        save_file(change, broken)
        with pytest.raises(WeightsError, match=message):
            _build("resnet18", pretrained="file", weights_file=str(broken))


def test_weights_files_that_cannot_be_read(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing of the kind")
    (tmp_path / "pickled.pth").write_bytes(b"")
    for name, message in (
        ("absent.safetensors", "there is no file"),
        ("damaged.safetensors", "cannot be read"),
        ("pickled.pth", "not a .safetensors file"),
    ):
        with pytest.raises(WeightsError, match=message):
            _build("resnet18", pretrained="file", weights_file=str(tmp_path / name))


def test_a_network_without_pretrained_weights():
    with pytest.raises(WeightsError, match="hub has no weights of seresnet18"):
        _build("seresnet18", pretrained="hub")


def test_a_hub_that_is_not_there_is_asked_once(monkeypatch, tmp_path):
    """Its client would try for most of a minute."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *args, **options: pytest.fail("the client was asked")
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    address = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    with pytest.raises(WeightsError, match="the hub cannot be reached") as caught:
        _build("resnet18", pretrained="hub")
    assert "classifier.weights_file" in str(caught.value)
    assert "classifier.pretrained to none" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_mode_is_said(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        _build("resnet18", pretrained="hub")
