from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from synaug_core.probes.explanation.eigengradcam import eigen_grad_cam, find_layer, first_component, oriented, scaled
from synaug_core.seeds import stream


def weighted(n: int = 3, channels: int = 5, side: int = 6) -> torch.Tensor:
    return torch.randn(n, channels, side, side, generator=stream(3), dtype=torch.float64)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_map_lies_where_the_network_looks(looks_at, noise_images, down: int, right: int) -> None:
    images = noise_images(5, channels=1, size=16) // 2 + 100
    maps = eigen_grad_cam(looks_at(down, right), images, torch.zeros(5, dtype=torch.int64))
    inside = maps[:, 8 * down : 8 * down + 8, 8 * right : 8 * right + 8]
    assert maps.shape == (5, 16, 16)
    assert maps.dtype == np.float32
    assert (maps.min(), maps.max()) == (0, 1)
    assert (inside.sum(axis=(1, 2)) / maps.sum(axis=(1, 2)) > 0.9).all()


def test_bright_is_for_the_class_and_dark_against(looks_at, noise_images) -> None:
    classifier = looks_at(0, 0)
    images = noise_images(4, channels=1, size=16) // 2 + 100
    with torch.no_grad():
        classifier.model.linear.weight[1] *= -1
    against = eigen_grad_cam(classifier, images, torch.ones(4, dtype=torch.int64))
    with torch.no_grad():
        classifier.model.linear.weight[1] *= -1
    assert against[:, :7, :7].mean() < 0.5 < against[:, 9:, 9:].mean()


@pytest.mark.parametrize(
    ("backbone", "size"), [("small_cnn", 28), ("small_cnn", 64), ("resnet10t", 64), ("resnet18", 28)]
)
def test_agrees_with_pytorch_grad_cam_but_for_the_sign(classifier_of, noise_images, backbone: str, size: int) -> None:
    import pytorch_grad_cam as cams
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    classifier, images, targets = classifier_of(backbone, size=size), noise_images(4, size=size), [0, 1, 2, 0]
    layer = find_layer(classifier.model, channels=3, size=size)
    part = classifier.model.get_submodule(layer.name)
    kept = []
    handle = part.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    logits = classifier.model(images.float() / 255)
    handle.remove()
    [gradient] = torch.autograd.grad(logits[range(4), targets].sum(), kept[0])
    component = first_component((kept[0] * gradient).detach().double())
    both = [scaled(sign * component, size).numpy() for sign in (1, -1)]
    ours = eigen_grad_cam(classifier, images, torch.tensor(targets), layer=layer)
    with cams.EigenGradCAM(classifier.model, [part]) as cam:
        theirs = cam(images.float() / 255, [ClassifierOutputTarget(t) for t in targets])
    classifier.model.zero_grad()
    for i in range(4):
        assert min(np.abs(b[i] - theirs[i]).max() for b in both) < 1e-4
        assert min(np.abs(b[i] - ours[i]).max() for b in both) < 1e-4


def test_the_component_is_that_of_scikit_learn() -> None:
    values = weighted()
    found = first_component(values).flatten(1).numpy()
    for mine, places in zip(found, values.flatten(2).transpose(1, 2).numpy(), strict=True):
        theirs = PCA(1).fit_transform(places)[:, 0]
        assert np.allclose(mine, theirs * np.sign(mine @ theirs), atol=1e-9)


def test_tiny_and_huge_gradients_give_the_same_map() -> None:
    values = weighted()
    plain = scaled(oriented(first_component(values), values), 12)
    for factor in (1e-30, 1e30):
        other = scaled(oriented(first_component(values * factor), values * factor), 12)
        assert torch.allclose(plain, other, atol=1e-6)


def test_the_flipped_eigenvector_gives_the_same_map() -> None:
    values = weighted()
    component = first_component(values)
    assert torch.equal(oriented(component, values), oriented(-component, values))
    rises = (oriented(component, values).flatten(1) * values.sum(1).flatten(1)).sum(1)
    assert (rises > 0).all()


def test_without_a_channel_sum_the_longer_side_is_bright() -> None:
    values = weighted(channels=2)
    values[:, 1] = -values[:, 0]
    values[:, :, 2, 3] *= 50
    component = first_component(values)
    turned = oriented(component, values)
    assert torch.equal(turned, oriented(-component, values))
    assert (turned.flatten(1).argmax(1) == turned.flatten(1).abs().argmax(1)).all()


def test_nothing_gives_a_map_of_zeros(looks_at, noise_images) -> None:
    classifier = looks_at(0, 1)
    with torch.no_grad():
        classifier.model.linear.weight[2] = 0
    images = noise_images(3, channels=1, size=16)
    mixed = eigen_grad_cam(classifier, images, torch.tensor([2, 0, 2]))
    assert not mixed[[0, 2]].any()
    assert mixed[1].max() == 1
    alike = torch.ones(2, 4, 6, 6, dtype=torch.float64)
    assert not first_component(alike).any()
    assert not first_component(alike * 0).any()
    assert not scaled(oriented(first_component(alike), alike), 12).any()


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet10t"])
def test_a_batch_is_its_images_one_by_one(classifier_of, noise_images, monkeypatch, backbone: str) -> None:
    classifier, images, targets = classifier_of(backbone), noise_images(5), torch.tensor([0, 1, 2, 1, 0])
    whole = eigen_grad_cam(classifier, images, targets)
    assert np.array_equal(whole, eigen_grad_cam(classifier, images, targets))
    assert eigen_grad_cam(classifier, images[:0], targets[:0]).shape == (0, 28, 28)
    monkeypatch.setattr("synaug_core.probes.explanation.eigengradcam._BATCH", 1)
    assert np.allclose(whole, eigen_grad_cam(classifier, images, targets), atol=1e-4)


def test_the_classifier_is_left_as_it_was(classifier_of, noise_images) -> None:
    model = (classifier := classifier_of("resnet10t")).model
    model.linear.train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        eigen_grad_cam(classifier, noise_images(3), torch.tensor([0, 1, 2]))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert model.linear.training
    assert not model.backbone.training
    assert not any(m._forward_hooks for m in model.modules())


def test_hooks_are_gone_after_an_error(classifier_of, noise_images) -> None:
    classifier = classifier_of()
    layer = find_layer(classifier.model, channels=3, size=28)
    classifier.model.linear = nn.Linear(1, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        eigen_grad_cam(classifier, noise_images(2), torch.tensor([0, 1]), layer=layer)
    assert not any(m._forward_hooks for m in classifier.model.modules())


def test_frozen_weights_do_not_matter(classifier_of, noise_images) -> None:
    classifier, images, targets = classifier_of(), noise_images(3), torch.tensor([0, 1, 2])
    maps = eigen_grad_cam(classifier, images, targets)
    classifier.model.requires_grad_(False)
    assert np.array_equal(eigen_grad_cam(classifier, images, targets), maps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, t: (x.float(), t), "images: uint8"),
        (lambda x, t: (x[:, :1], t), r"images: uint8 \('n', 3, 28, 28\)"),
        (lambda x, t: (x, t[:1]), r"targets: int64 \(2,\)"),
        (lambda x, t: (x, t.float()), "targets: int64"),
        (lambda x, t: (x, t + 2), "outside the classes"),
    ],
)
def test_what_does_not_fit_is_refused(classifier_of, noise_images, change, message: str) -> None:
    images, targets = change(noise_images(2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=message):
        eigen_grad_cam(classifier_of(), images, targets)


@pytest.mark.gpu
def test_the_gpu_agrees(classifier_of, noise_images) -> None:
    classifier, images, targets = classifier_of(), noise_images(3), torch.tensor([0, 1, 2])
    here = eigen_grad_cam(classifier, images, targets)
    assert np.allclose(eigen_grad_cam(classifier, images, targets, device="cuda"), here, atol=1e-2)
