"""How a training goes, and what is told of it."""

import pytest
import torch

from synaug_core.config import GANConfig
from synaug_core.errors import ArtifactError, ConfigError, DeadlineError
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.generators.gan import ConditionalGAN, Networks, draw_block, r1_penalty
from synaug_core.generators.pixels import ImagePool
from synaug_core.nets.gan import Discriminator, ImageGenerator
from synaug_core.seeds import seeded_init, stream
from synaug_core.testing.conformance import make_images

CPU = torch.device("cpu")


def _fit(config, images, **more):
    generator = ConditionalGAN(config, images.classes, images.channels, images.size)
    return generator.fit(images, FitJob(seed=1, device=CPU, **more))


@pytest.fixture
def images():
    return make_images({"a": 12, "b": 5}, 1, 16)


def test_reports(small, images):
    reports = _fit(small, images).reports
    assert (reports["a"].images, reports["a"].held_out, reports["a"].status) == (12, 0, "finished")
    assert reports["a"].best_step == reports["a"].steps == 6
    names = ["discriminator_loss", "generator_loss", "gradient_penalty", "diversity"]
    assert [name for name, _, _ in reports["a"].series()] == names
    assert reports["a"].losses["generator_loss"] == reports["b"].losses["generator_loss"]
    assert "diversity/x" in reports["a"].metrics("x")


def test_without_penalty_and_augmentation(small, images):
    config = small.model_copy(update={"gan": GANConfig(r1=0, augmentation=()), "augment": "none"})
    report = _fit(config, images).reports["a"]
    assert "gradient_penalty" not in report.losses
    assert report.status == "finished"


def test_diverged_keeps_the_last_good_weights(small, images):
    good = _fit(small.model_copy(update={"steps": 2}), images)
    train = Networks.train

    def broken(self, batches, first):
        losses = train(self, batches, first)
        if first >= 2:
            for network in (self.generator, self.average):
                network.head.weight.data.fill_(torch.nan)
        return losses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Networks, "train", broken)
        lost = _fit(small, images)
    report = lost.reports["a"]
    assert (report.status, report.best_step, report.steps) == ("diverged", 2, 4)
    assert report.notes[0] == "the training diverged by step 4: the weights of step 2 are kept"
    assert torch.equal(lost.sample(5, "a", seed=1), good.sample(5, "a", seed=1))
    assert report.measures == good.reports["a"].measures


def test_a_rate_beyond_reason_diverges_and_still_samples(small, images):
    generator = _fit(small.model_copy(update={"learning_rate": 1e30}), images)
    assert generator.reports["a"].status == "diverged"
    assert generator.reports["a"].best_step == 0
    assert generator.sample(2, "b", seed=1).shape == (2, 1, 16, 16)


def test_loss_that_is_not_finite_ends_the_training(small, images, monkeypatch):
    monkeypatch.setattr(Networks, "train", lambda self, batches, first: torch.full((3,), torch.inf))
    assert _fit(small, images).reports["b"].status == "diverged"


def test_deadline(small, images):
    with pytest.raises(DeadlineError, match="0 of 6 steps"):
        _fit(small, images, deadline=-1)


def test_refusals(small, images, tmp_path):
    with pytest.raises(ConfigError, match="8 px or more"):
        _fit(small, make_images({"a": 3}, 1, 7))
    unfitted = ConditionalGAN(small, ("a",), 1, 16)
    with pytest.raises(ConfigError, match="there are none"):
        unfitted.sample(1, "a", seed=1)
    with pytest.raises(ConfigError, match="not fitted"):
        unfitted.save(tmp_path)
    fitted = _fit(small, images)
    with pytest.raises(ConfigError, match="class 'z'; there are a, b"):
        fitted.sample(1, "z", seed=1)
    fitted.save(tmp_path)
    assert isinstance(registry.load(tmp_path), ConditionalGAN)
    spec = tmp_path / "spec.json"
    spec.write_text(spec.read_text().replace('"width": 8', '"width": 16'))
    with pytest.raises(ArtifactError, match="do not fit"):
        registry.load(tmp_path)


def test_classes_take_turns_and_a_rare_one_is_seen_as_often():
    rows = [torch.arange(0, 20), torch.arange(20, 22), torch.arange(22, 50)]
    batches = draw_block(rows, [1, 2, 3], 4, 5, steps=6, batch=8, latent=2, augment="mirror")
    counts = torch.bincount(batches.labels.flatten())
    assert counts.max() - counts.min() <= 1
    assert batches.labels[0, 0] == (5 * 8) % 3
    for label, own in enumerate(rows):
        seen = batches.rows[batches.labels == label]
        assert torch.isin(seen, own).all()
        assert torch.bincount(seen, minlength=50)[own].max() <= -(-len(seen) // len(own))
    assert batches.mirrored is not None
    assert draw_block(rows, [1, 2, 3], 4, 5, steps=6, batch=8, latent=2, augment="none").mirrored is None


def test_more_classes_than_a_batch_holds():
    rows = [torch.tensor([i]) for i in range(11)]
    batches = draw_block(rows, list(range(11)), 4, 0, steps=11, batch=4, latent=2, augment="none")
    assert torch.bincount(batches.labels.flatten()).tolist() == [4] * 11
    assert torch.equal(batches.labels, batches.rows)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 28), (1, 51), (3, 128)])
def test_shapes_at_any_size(channels, size):
    with seeded_init(1):
        generator, discriminator = ImageGenerator(2, channels, size, 8, 4), Discriminator(2, channels, size, 8)
    labels = torch.tensor([0, 1])
    made = generator(torch.randn(2, 4, generator=stream(1)), labels)
    assert made.shape == (2, channels, size, size)
    assert made.abs().max() <= 1
    assert discriminator(made, labels).shape == (2,)


def test_the_class_matters_to_both_networks():
    with seeded_init(1):
        generator, discriminator = ImageGenerator(2, 1, 16, 8, 4), Discriminator(2, 1, 16, 8)
    z = torch.zeros(2, 4)
    made = generator(z, torch.tensor([0, 1]))
    assert not torch.allclose(made[0], made[1])
    same = made[:1].expand(2, -1, -1, -1)
    scores = discriminator(same, torch.tensor([0, 1]))
    assert (scores[0] - scores[1]).abs() > 1e-6


def test_penalty_of_real_images_only_is_that_of_a_pass_of_their_own(small, images):
    """The mean over a batch of real and made images together is half of that over the real ones."""
    networks = Networks(ImagePool(images.images, CPU), classes=2, channels=1, size=16, config=small, seed=1)
    networks.discriminator.eval()
    batch = torch.rand(8, 1, 16, 16, generator=stream(1)).requires_grad_()
    labels = torch.zeros(8, dtype=torch.int64)
    together = 2 * r1_penalty(networks.discriminator(batch, labels)[:4], batch)
    real = batch[:4].detach().requires_grad_()
    alone = r1_penalty(networks.discriminator(real, labels[:4]), real)
    assert torch.allclose(together, alone, rtol=1e-4)
