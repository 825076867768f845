"""The loss, the averaged weights, the rate, and a training that leaves the numbers."""

import ast
import importlib.util
import itertools
from pathlib import Path

import diffusers
import pytest
import torch

import synaug_core
from synaug_core.checkpoints import Checkpoint
from synaug_core.errors import ArtifactError, ConfigError, DeadlineError
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.generators.diffusion import ConditionalDiffusion, DiffusionRun, learning_rate_at, velocity_losses
from synaug_core.generators.pixels import ImagePool
from synaug_core.generators.training_loop import Clock, run_training
from synaug_core.nets.denoiser import Denoiser, levels_of, signal_shares
from synaug_core.seeds import seeded_init, stream
from synaug_core.testing.conformance import make_images

CPU = torch.device("cpu")


def make(config, size=16, classes=("a", "b")):
    return ConditionalDiffusion(config, classes, 1, size)


def start(config, size=8, kind=Denoiser):
    with seeded_init(1):
        network = kind(1, size, config.width, 2 + 6)
    pool = make_images({"a": 6, "b": 4}, 1, size).images
    return network, pool


def run(network, pool, config, checkpoint=None, deadline=None):
    clock = Clock(deadline)
    training = DiffusionRun(network, ImagePool(pool, CPU), [6, 4], config, 3, clock)
    job = FitJob(3, CPU, checkpoint=checkpoint or Checkpoint(None), deadline=deadline)
    run_training(training, clock, job, steps=config.steps, fingerprint="x")
    return training.course


def test_velocity_is_that_of_diffusers():
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    random = stream(2)
    x, e = torch.rand(5, 1, 4, 4, generator=random) * 2 - 1, torch.randn(5, 1, 4, 4, generator=random)
    levels = torch.tensor([0, 10, 500, 900, 999])
    seen = {}

    def network(noisy, at, conditions):
        seen["noisy"] = noisy
        return torch.zeros_like(noisy)

    losses = velocity_losses(network, x, e, levels, torch.zeros(5, 1), signal_shares(1000))
    assert torch.allclose(seen["noisy"], scheduler.add_noise(x, e, levels), atol=1e-4)
    assert torch.allclose(losses, scheduler.get_velocity(x, e, levels).square().mean((1, 2, 3)), atol=1e-4)


def test_the_rate_rises_and_falls():
    rates = [learning_rate_at(s, 1000, 1.0) for s in range(1000)]
    assert rates[99] == 1.0
    assert rates[0] == 0.01
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


def test_averaged_weights_are_kept(small):
    """One step from w0 to w1 leaves 0.1 w0 + 0.9 w1."""
    config = small.model_copy(update={"steps": 1})
    network, pool = start(config)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    course = run(network, pool, config)
    assert course.status == "finished"
    for name, p in network.named_parameters():
        assert torch.allclose(course.weights[name], 0.1 * before[name] + 0.9 * p, atol=1e-6)
    assert any(not torch.equal(course.weights[name], p) for name, p in network.named_parameters())


def test_a_divergence_keeps_the_last_good_weights(small, tmp_path):
    class Breaks(Denoiser):
        """Finite for the first block and one step."""

        calls = 0

        def forward(self, *arguments):
            self.calls += 1
            return super().forward(*arguments) * (float("nan") if self.calls > 3 else 1.0)

    config = small.model_copy(update={"steps": 8})
    network, pool = start(config, kind=Breaks)
    kept = Checkpoint(tmp_path / "state", interval=0)
    course = run(network, pool, config, kept)
    assert (course.status, course.steps, course.best_step) == ("diverged", 4, 2)
    assert all(torch.isfinite(w).all() for w in course.weights.values())
    good = run(start(config, kind=Breaks)[0], pool, config.model_copy(update={"steps": 2}))
    assert len(course.losses) == len(good.losses) == 1
    again = run(start(config, kind=Breaks)[0], pool, config, kept)
    assert again.status == "diverged"
    assert all(torch.equal(again.weights[n], w) for n, w in course.weights.items())


def test_a_training_that_diverges_at_once_still_makes_images(small):
    config = small.model_copy(update={"learning_rate": 1e30})
    fitted = make(config).fit(make_images({"a": 6, "b": 4}, 1, 16), FitJob(seed=1, device=CPU))
    assert fitted.reports["a"].status == "diverged"
    assert "lower generator.learning_rate" in fitted.reports["a"].notes[0]
    assert fitted.sample(2, "a", seed=1).shape == (2, 1, 16, 16)


def test_the_loss_falls_and_is_reported(small):
    config = small.model_copy(update={"steps": 60, "evaluate_every": 20, "learning_rate": 3e-3, "batch_size": 16})
    fitted = make(config, 8).fit(make_images({"a": 6, "b": 4}, 1, 8), FitJob(seed=1, device=CPU))
    for name in ("a", "b"):
        curve = fitted.reports[name].losses["velocity_error"]
        assert [step for step, _ in curve] == [20, 40, 60]
        assert curve[-1][1] < 0.8 * curve[0][1]


def test_classes_learn_their_own_brightness(small):
    """Two flat classes, dark and bright: their images differ as they do."""
    images = make_images({"a": 6, "b": 6}, 1, 8)
    flat = torch.where(images.labels[:, None, None, None] == 0, 40, 210).to(torch.uint8).expand_as(images.images)
    images = type(images)(
        flat.contiguous(), images.labels, images.classes, images.ids, images.groups, images.provenance
    )
    config = small.model_copy(update={"steps": 80, "evaluate_every": 40, "learning_rate": 1e-2, "batch_size": 16})
    fitted = make(config, 8).fit(images, FitJob(seed=1, device=CPU))
    dark, bright = (fitted.sample(8, name, seed=2).float().mean() for name in ("a", "b"))
    assert dark < 80
    assert bright > 170


def test_images_are_standardised_by_the_training_set(small):
    images = make_images({"a": 30, "b": 20}, 3, 8)
    config = small.model_copy(update={"steps": 1})
    fitted = ConditionalDiffusion(config, ("a", "b"), 3, 8).fit(images, FitJob(seed=1, device=CPU))
    network, pixels = fitted._network, images.images.float() / 255
    units = network.standardise(pixels)
    assert torch.allclose(units.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(units.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    assert torch.allclose(network.to_pixels(units), pixels, atol=1e-6)
    low, high = network.bounds()
    assert torch.allclose(
        network.to_pixels(torch.stack((low, high))).mean((1, 2, 3)), torch.tensor([0.0, 1.0]), atol=1e-6
    )


def test_any_size_and_width():
    assert [levels_of(size) for size in (8, 16, 28, 32, 64, 128)] == [2, 2, 3, 3, 4, 5]
    for size, width in ((8, 1), (9, 8), (13, 10), (27, 8), (35, 4)):
        with seeded_init(0):
            network = Denoiser(3, size, width, 7)
        with torch.no_grad():
            shape = network(torch.zeros(2, 3, size, size), torch.tensor([0, 5]), torch.zeros(2, 7)).shape
        assert shape == (2, 3, size, size)


def test_what_the_user_is_told(small, tmp_path):
    images = make_images({"a": 6, "b": 4}, 1, 16)
    with pytest.raises(ConfigError, match="8 to 128 px"):
        make(small, 7).fit(images, FitJob(seed=1, device=CPU))
    options = small.diffusion.model_copy(update={"noise_levels": 10, "sampling_steps": 11})
    with pytest.raises(ConfigError, match="take fewer steps"):
        make(small.model_copy(update={"diffusion": options})).fit(images, FitJob(seed=1, device=CPU))
    with pytest.raises(DeadlineError, match="of 4 steps"):
        make(small).fit(images, FitJob(seed=1, device=CPU, deadline=0))
    with pytest.raises(ConfigError, match="none yet"):
        make(small).sample(1, "a", seed=1)
    fitted = make(small).fit(images, FitJob(seed=1, device=CPU))
    with pytest.raises(ConfigError, match="'z'"):
        fitted.sample(1, "z", seed=1)
    fitted.save(tmp_path)
    assert isinstance(registry.load(tmp_path), ConditionalDiffusion)
    spec = (tmp_path / "spec.json").read_text().replace('"width": 8', '"width": 16')
    (tmp_path / "spec.json").write_text(spec)
    with pytest.raises(ArtifactError, match="do not fit"):
        registry.load(tmp_path)


def test_the_time_is_looked_at_within_a_block(small, monkeypatch):
    """A step may take long: the clock strikes once at each look at it."""
    ticks = itertools.count()
    monkeypatch.setattr(Clock, "seconds", property(lambda self: float(next(ticks))))
    config = small.model_copy(update={"steps": 20, "evaluate_every": 20})
    network, pool = start(config)
    with pytest.raises(DeadlineError, match=r"longer than 3 s \(3 of 20 steps\)"):
        run(network, pool, config, deadline=3)


def test_without_diffusers_one_line_says_so(small, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install diffusers"):
        make(small).fit(make_images({"a": 2, "b": 2}, 1, 16), FitJob(seed=1, device=CPU))


def test_one_file_imports_diffusers_and_only_when_it_is_used():
    """Importing the registry must not cost the seconds that diffusers takes."""
    root = Path(synaug_core.__file__).parent
    importing = [path for path in root.rglob("*.py") if "diffusers import" in path.read_text(encoding="utf-8")]
    assert [path.name for path in importing] == ["denoiser.py"]
    top = ast.parse(importing[0].read_text(encoding="utf-8")).body
    names = {getattr(node, "module", None) for node in top if isinstance(node, ast.ImportFrom)}
    assert not any(str(name).startswith("diffusers") for name in names)
