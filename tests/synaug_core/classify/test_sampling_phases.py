"""The weight of synthetic images, and pretraining on them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from synaug_core.classify.mixing import Targets
from synaug_core.classify.sampling import PhasedSampler, clean_batches, sampler_of
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.config import ArmConfig, ClassifierConfig, SynthesisConfig
from synaug_core.data.imageset import ImageSet

CONFIG = ClassifierConfig(steps=8, batch_size=6, evaluate_every=2, patience=1, width=8, dropout=0.0)
MADE = {"synthesis": SynthesisConfig()}
CPU = torch.device("cpu")


def images(n: int = 24, seed: int = 0) -> ImageSet:
    """Two classes; the last third is synthetic, all of it of class b."""
    pixels = torch.randint(0, 256, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    labels = torch.tensor([i % 2 if i < 2 * n // 3 else 1 for i in range(n)])
    made = [i >= 2 * n // 3 for i in range(n)]
    origins = tuple(json.dumps({"generator": "vae"} if m else {"source": "x"}) for m in made)
    names = tuple(f"i{i}" for i in range(n))
    return ImageSet(pixels, labels, ("a", "b"), names, names, origins)


def loop(arm: ArmConfig, config: ClassifierConfig = CONFIG) -> Loop:
    return Loop.start(TrainingJob(config, arm, images(), images(12, 1), 0, 1, CPU))


def test_first_synthetic_images_and_classes_without_any_then_real_ones():
    sampler = sampler_of(CONFIG, ArmConfig(name="x", pretrain=0.5, real_share=0, **MADE), images(), 3, CPU)
    assert isinstance(sampler, PhasedSampler)
    drawn = [sampler.next().tolist() for _ in range(8)]
    real_a, real_b, made = set(range(0, 16, 2)), set(range(1, 16, 2)), set(range(16, 24))
    assert {i for batch in drawn[:4] for i in batch} == real_a | made
    assert {i for batch in drawn[4:] for i in batch} == real_a | real_b


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
@pytest.mark.parametrize("share", [0.25, 0.75, 1.0])
def test_pretraining_draws_as_many_real_images_as_their_share(sampling, share):
    arm = ArmConfig(name="x", pretrain=0.5, real_share=share, sampling=sampling, **MADE)
    sampler = sampler_of(CONFIG.model_copy(update={"steps": 128}), arm, images(), 3, CPU)
    first = torch.cat([sampler.next() for _ in range(64)])
    then = torch.cat([sampler.next() for _ in range(64)])
    of_b = first[images().labels[first] == 1]
    assert (of_b < 16).double().mean().item() == pytest.approx(share, abs=0.03)
    assert set(then.tolist()) == set(range(16))


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_an_arm_draws_at_least_its_share_of_real_images(sampling, share):
    """Class b has 8 real and 8 synthetic images, class a 8 real ones: half is what they come to by themselves."""
    arm = ArmConfig(name="x", real_share=share, sampling=sampling, **MADE)
    sampler = sampler_of(CONFIG, arm, images(), 3, CPU)
    drawn = torch.cat([sampler.next() for _ in range(64)])  # 384 = 16 or 12 epochs of 24 or 32
    labels = images().labels[drawn]
    assert torch.bincount(labels).tolist() == ([192, 192] if sampling == "balanced" else [128, 256])
    of_b = drawn[labels == 1]
    assert (of_b < 16).double().mean().item() == pytest.approx(max(share, 0.5), abs=0.05)
    assert (of_b < 16).double().mean().item() >= max(share, 0.5)


@pytest.mark.parametrize("arm", [ArmConfig(name="x", **MADE), ArmConfig(name="x", pretrain=0.5, **MADE)])
@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_clean_batches_are_real_images_in_the_arms_proportions(arm, sampling):
    arm = arm.model_copy(update={"sampling": sampling})
    config = CONFIG.model_copy(update={"batch_size": 16})
    batches = clean_batches(config, arm, images(), 3, CPU)
    again = clean_batches(config, arm, images(), 3, CPU)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    drawn = torch.cat(batches)
    assert set(drawn.tolist()) == set(range(16))
    share = 1 / 3 if sampling == "natural" and not arm.pretrain else 1 / 2
    assert (images().labels[drawn] == 0).double().mean().item() == pytest.approx(share, abs=0.1)


def test_clean_batches_are_few_however_many_images_there_are():
    config = CONFIG.model_copy(update={"batch_size": 64})
    many = images(2400)
    assert [len(b) for b in clean_batches(config, ArmConfig(name="x"), many, 3, CPU)] == [64] * 8


def test_a_class_without_real_images_has_clean_batches_of_synthetic_ones():
    made = images().take(list(range(0, 16, 2)) + list(range(16, 24)))
    drawn = torch.cat(clean_batches(CONFIG, ArmConfig(name="x", **MADE), made, 3, CPU))
    assert set(drawn.tolist()) == set(range(16))


def test_going_on_from_a_state_changes_nothing():
    arm = ArmConfig(name="x", pretrain=0.5, sampling="balanced", **MADE)
    whole, cut = (sampler_of(CONFIG, arm, images(), 3, CPU) for _ in range(2))
    for _ in range(3):
        whole.next(), cut.next()
    again = sampler_of(CONFIG, arm, images(), 3, CPU)
    again.restore(cut.state())
    assert all(torch.equal(whole.next(), again.next()) for _ in range(6))


def test_weight_one_and_no_pretraining_is_the_plain_training():
    plain = train(TrainingJob(CONFIG, ArmConfig(name="x", **MADE), images(), images(12, 1), init_seed=0, batch_seed=1))
    same = train(TrainingJob(
        CONFIG, ArmConfig(name="x", synthetic_weight=1, pretrain=0, **MADE), images(), images(12, 1),
        init_seed=0, batch_seed=1,
    ))  # fmt: skip
    for a, b in zip(plain.model.state_dict().values(), same.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_weight_of_two_is_the_image_twice(class_weights):
    config = CONFIG.model_copy(update={"class_weights": class_weights})
    weighted = loop(ArmConfig(name="x", synthetic_weight=2, **MADE), config)
    index = torch.tensor([0, 1, 16, 20])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    twice = [0, 1, 2, 2, 3, 3]
    plain = loop(ArmConfig(name="x", **MADE), config)
    found = weighted._loss(logits, Targets(weighted.labels[index], weighted.image_weights[index]))
    expected = plain._loss(logits[twice], Targets(plain.labels[index][twice]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_early_stop_waits_for_the_real_images():
    arm = ArmConfig(name="x", pretrain=0.75, **MADE)
    found = train(TrainingJob(CONFIG.model_copy(update={"learning_rate": 1e-12}), arm, images(), images(12, 1),
                  init_seed=0, batch_seed=1))  # fmt: skip
    assert found.history.stopped_at == 8


def test_without_synthetic_images_there_is_nothing_to_begin_with():
    real = images().take(torch.arange(16))
    assert not real.is_synthetic().any()
    assert not isinstance(sampler_of(CONFIG, ArmConfig(name="x", pretrain=0.5, **MADE), real, 3, CPU), PhasedSampler)


@pytest.mark.parametrize("key", ["synthetic_weight", "pretrain", "real_share"])
def test_only_arms_with_synthesis_have_them(key):
    with pytest.raises(ValueError, match=f"{key} is for arms with synthesis"):
        ArmConfig(name="x", **{key: 0.25})


def test_provenance_tells():
    assert images().is_synthetic().tolist() == [False] * 16 + [True] * 8
    assert replace(images(), provenance=("{}",) * 24).is_synthetic().all()
