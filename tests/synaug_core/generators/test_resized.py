"""Generators that learn smaller images than they take and give: of every kind, fitted, stored and loaded."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from synaug_core.config import DiffusionConfig, GeneratorConfig
from synaug_core.errors import ArtifactError, ConfigError
from synaug_core.generators import base, registry
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.generators.diffusion import ConditionalDiffusion
from synaug_core.generators.gan import ConditionalGAN
from synaug_core.generators.resized import resized
from synaug_core.testing import conformance
from synaug_core.testing.conformance import GENERATOR_CHECKS, GeneratorSubject, make_images

FEW = {"steps": 4, "evaluate_every": 2, "width": 8, "batch_size": 8, "image_size": 16}
VAE = GeneratorConfig(**FEW | {"width": 4, "latent_dim": 4, "steps": 12, "evaluate_every": 4})
CONFIGS = {
    ConditionalGAN: GeneratorConfig(kind="gan", latent_dim=4, **FEW),
    ConditionalDiffusion: GeneratorConfig(kind="diffusion", diffusion=DiffusionConfig(sampling_steps=2), **FEW),
    SpatialAutoencoder: GeneratorConfig(kind="autoencoder", **FEW),
}
CPU = torch.device("cpu")
SHORT = (
    conformance.check_saved_is_loaded,
    conformance.check_missing_images_are_refused,
    conformance.check_latent_space,
)


def fit(config, images, size, *classes):
    generator = registry.create(config, classes or images.classes, images.channels, size)
    return generator.fit(images, FitJob(seed=1, device=CPU))


def shrunk(images, size):
    """As torch's own antialiased bicubic resizing has it."""
    small = F.interpolate(images.images / 255, size=(size, size), mode="bicubic", antialias=True)
    return replace(images, images=(small.clamp(0, 1) * 255).round().to(torch.uint8))


@pytest.fixture(scope="module")
def large():
    return make_images({"a": 14, "b": 9}, 1, 40)


@pytest.fixture(scope="module")
def generator(large):
    return fit(VAE, large, 40)


def poison(state: dict[str, Any], name: str, label: int) -> None:
    state["executor"][name]["model"]["encoder.head.weight"].fill_(math.nan)


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_the_vae_passes_all_checks(check, tmp_path):
    check(GeneratorSubject(resized(ClassVAE), VAE, folder=tmp_path, size=24, poison=poison))


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("check", SHORT, ids=lambda check: check.__name__)
def test_every_other_kind_takes_and_gives_larger_images(check, kind, tmp_path):
    check(GeneratorSubject(resized(kind), CONFIGS[kind], folder=tmp_path, isolated=False, channels=3, size=25))


def test_the_size_that_is_learnt():
    assert [GeneratorConfig().learnt_size(stored) for stored in (16, 28, 64, 65, 224)] == [16, 28, 64, 64, 64]
    assert [GeneratorConfig(image_size=96).learnt_size(stored) for stored in (64, 96, 224)] == [64, 96, 96]
    assert type(registry.create(VAE, ("a",), 1, 16)) is ClassVAE
    large = registry.create(GeneratorConfig(), ("a",), 3, 224)
    assert (large.size, large.learnt_size, large.enlarges) == (224, 64, True)


def test_a_kind_stays_what_it_is():
    vae, gan = resized(ClassVAE), resized(ConditionalGAN)
    assert (vae.kind, vae.joint, gan.kind, gan.joint) == ("vae", False, "gan", True)
    assert issubclass(vae, base.LatentGenerator)
    assert not issubclass(gan, base.LatentGenerator)
    assert resized(ClassVAE) is vae


def test_a_fit_is_that_of_the_small_images(generator, large, tmp_path):
    """To the last byte: so it takes their time and their memory."""
    small = shrunk(large, 16)
    fit(VAE, small, 16).save(tmp_path / "small")
    generator.save(tmp_path / "large")
    for name in ("spec.json", "weights.safetensors"):
        assert (tmp_path / "large" / name).read_bytes() == (tmp_path / "small" / name).read_bytes()
    assert torch.equal(generator.posteriors(large.images[:5], "a")[0], generator.encode(large.images[:5], "a")[0])


def test_only_images_of_the_group_are_shrunk(large):
    seen = []

    class Noting(ClassVAE):
        def fit(self, images, job):
            seen.append((images.size, images.counts()))
            return super().fit(images, job)

    resized(Noting)(VAE, ("b",), 1, 40).fit(large, FitJob(seed=1, device=CPU))
    assert seen == [(16, {"a": 0, "b": 9})]


def test_what_is_decoded_is_the_small_image_enlarged(generator, large, tmp_path):
    generator.save(tmp_path)
    small = ClassVAE.load(tmp_path)
    mean, _ = generator.posteriors(large.images[:9], "a")
    enlarged = F.interpolate(small.decode(mean, "a"), size=(40, 40), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(generator.decode(mean, "a"), enlarged, atol=1e-6, rtol=0)
    sample, small_sample = generator.sample(4, "a", seed=3), small.sample(4, "a", seed=3)
    enlarged = F.interpolate(small_sample / 255, size=(40, 40), mode="bicubic", antialias=True).clamp(0, 1)
    assert int((sample.int() - (enlarged * 255).round().int()).abs().max()) <= 1


def test_gradients_reach_the_latents(generator, large):
    z = generator.posteriors(large.images[:3], "a")[0].requires_grad_(True)
    images = generator.decode_with_gradient(z, "a")
    torch.testing.assert_close(images.detach(), generator.decode(z.detach(), "a"), atol=1e-6, rtol=0)
    weights = torch.linspace(-1, 1, images[0].numel()).view(images.shape[1:])
    (gradient,) = torch.autograd.grad((images * weights).sum(), z)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        ahead, behind = (generator.decode_with_gradient(z + s * 0.01 * direction, "a") for s in (1, -1))
        slope = float(((ahead - behind) * weights).sum() / 0.02)
    assert slope == pytest.approx(float(gradient.norm()), rel=0.05)


def test_loading_knows_what_was_resized(generator, tmp_path):
    generator.save(tmp_path)
    loaded = registry.load(tmp_path)
    assert type(loaded) is type(generator)
    assert (loaded.size, loaded.learnt_size, loaded.kind) == (40, 16, "vae")
    (tmp_path / "resized.json").unlink()
    assert type(registry.load(tmp_path)) is ClassVAE


def test_a_generator_of_an_earlier_version_has_its_own_size(large, tmp_path):
    fit(VAE.model_copy(update={"image_size": None}), shrunk(large, 16), 16).save(tmp_path)
    path = tmp_path / "spec.json"
    spec = json.loads(path.read_text())
    del spec["config"]["image_size"]
    path.write_text(json.dumps(spec))
    loaded = registry.load(tmp_path)
    assert (type(loaded), loaded.size, loaded.enlarges) == (ClassVAE, 16, False)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"size": "big"}', '{"size": 16}', '{"size": 5000}', '{"size": true}']
)
def test_a_broken_size_is_refused(generator, tmp_path, text):
    generator.save(tmp_path)
    (tmp_path / "resized.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"resized\.json"):
        registry.load(tmp_path)


def test_what_was_not_fitted_is_not_saved(tmp_path):
    unfitted = registry.create(VAE, ("a",), 1, 40)
    with pytest.raises(ConfigError, match="nothing to save"):
        unfitted.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["vae", "autoencoder", "gan", "diffusion"])
def test_on_a_gpu(large, kind, tmp_path):
    config = VAE if kind == "vae" else next(c for c in CONFIGS.values() if c.kind == kind)
    device = torch.device("cuda")
    one, two = (
        registry.create(config, large.classes, 1, 40).fit(large, FitJob(seed=1, device=device)) for _ in range(2)
    )
    assert torch.equal(one.sample(9, "a", seed=1), two.sample(9, "a", seed=1))
    one.save(tmp_path)
    loaded = registry.load(tmp_path, device)
    assert torch.equal(loaded.sample(9, "a", seed=1), one.sample(9, "a", seed=1))
    if isinstance(one, base.LatentGenerator):
        z, _ = one.posteriors(large.images[:14], "a")
        decoded = one.decode(z, "a")
        assert decoded.device.type == "cuda"
        assert torch.equal(one.decode(z[3:4], "a")[0], decoded[3])
        assert torch.equal(registry.load(tmp_path).posteriors(large.images[:14], "a")[0], z.cpu())
