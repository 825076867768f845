"""Statistics of batch normalisation: recomputed as the population's, in every network, and nothing else changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from synaug_core.classify.model import as_float, build
from synaug_core.classify.normalisation import recompute_statistics, untracked, with_statistics_of
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.config import ArmConfig, ClassifierConfig, SynthesisConfig
from synaug_core.data.imageset import concatenate
from synaug_core.seeds import stream

CPU = torch.device("cpu")
BATCH_NORMS = ["small_cnn", "resnet18", "efficientnet_b0", "mobilenetv3_small_050"]
SYNTHETIC = ArmConfig(name="x", augmentation="traditional", synthesis=SynthesisConfig())


def _network(backbone: str = "small_cnn", size: int = 32) -> nn.Module:
    config = ClassifierConfig(backbone=backbone, width=4)
    return build(config, channels=1, size=size, classes=("a", "b"), seed=1, mean=(0.5,), std=(0.2,))


def _images(n: int = 12, size: int = 32) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=stream(5))


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.named_buffers()}


def _with_synthetic_images(make_set):
    real, others = make_set((10, 4)), make_set((0, 10), seed=9)
    blurred = nn.functional.avg_pool2d(others.images.float(), 3, 1, 1).to(torch.uint8)
    made = replace(others, images=blurred, provenance=(json.dumps({"generator": "vae"}),) * len(others))
    return concatenate([real, made])


def test_one_batch_through_one_layer_gives_its_own_moments():
    layer = nn.BatchNorm2d(3, momentum=0.3)
    x = torch.randn(6, 3, 5, 5, generator=stream(1)) * 2 + 1
    recompute_statistics(layer, [x], layer)
    torch.testing.assert_close(layer.running_mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(layer.running_var, x.var((0, 2, 3)))
    assert layer.momentum == 0.3
    assert layer.training


def test_unequal_batches_give_the_moments_of_all_values_together():
    layer = nn.BatchNorm1d(4, momentum=None).eval()
    x = torch.randn(50, 4, generator=stream(1)).cumsum(0)
    recompute_statistics(layer, x.split([30, 2, 18]), layer)
    torch.testing.assert_close(layer.running_mean, x.mean(0))
    torch.testing.assert_close(layer.running_var, x.var(0))
    assert layer.momentum is None
    assert not layer.training
    assert int(layer.num_batches_tracked) == 0


def test_a_layer_that_is_used_twice_knows_both_inputs():
    layer = nn.BatchNorm1d(2)
    x = torch.randn(20, 2, generator=stream(1))
    recompute_statistics(layer, [x], lambda inputs: (layer(inputs), layer(inputs + 6)))
    both = torch.cat([x, x + 6])
    torch.testing.assert_close(layer.running_mean, both.mean(0))
    torch.testing.assert_close(layer.running_var, both.var(0))


@pytest.mark.parametrize("backbone", BATCH_NORMS)
def test_in_evaluation_the_network_then_does_what_it_does_in_training(backbone):
    """With the statistics of one batch, this batch's features are the same in either mode."""
    model, images = _network(backbone).eval(), _images()

    def bias(layer, inputs, output):  # in training the variance is the biased one
        values = inputs[0].numel() // inputs[0].shape[1]
        layer.running_var.mul_((values - 1) / values)

    with torch.no_grad():
        before = model.features(images)
        recompute_statistics(model, [images], model.features)
        assert not any(m.training for m in model.modules())
        with untracked(model.train()):
            hooks = [m.register_forward_hook(bias) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
            trained = model.features(images)
        for hook in hooks:
            hook.remove()
        evaluated = model.eval().features(images)
    torch.testing.assert_close(evaluated, trained, rtol=1e-3, atol=1e-4)
    assert float((before - trained).abs().max()) > 0.1


@pytest.mark.parametrize("backbone", BATCH_NORMS)
def test_weights_modes_and_counters_stay_and_the_former_statistics_come_back(backbone):
    model, images = _network(backbone).train(), _images()
    model.features(images * 0.3)
    before, weights = _buffers(model), [p.clone() for p in model.parameters()]
    momenta = [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    state = torch.random.get_rng_state()
    with with_statistics_of(model, [images, images], model.features):
        inside = _buffers(model)
        assert any(not torch.equal(inside[k], v) for k, v in before.items())
        assert all(torch.equal(inside[k], v) for k, v in before.items() if k.endswith("num_batches_tracked"))
    assert all(torch.equal(model.get_buffer(k), v) for k, v in before.items())
    assert all(torch.equal(p, w) and p.grad is None for p, w in zip(model.parameters(), weights, strict=True))
    assert {m.training for m in model.modules()} == {True}
    assert [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_without_batch_normalisation_is_not_even_run():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4))
    recompute_statistics(model, [_images()], lambda images: pytest.fail("it was run"))


def test_no_batches_change_nothing():
    model = _network()
    before = _buffers(model)
    recompute_statistics(model, [], model.features)
    assert all(torch.equal(model.get_buffer(k), v) for k, v in before.items())


def test_untracked_batches_leave_the_statistics():
    model = _network().train()
    with untracked(model):
        model.features(_images())
    fresh = _network()
    for (name, value), expected in zip(model.named_buffers(), fresh.buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, expected)


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18"])
def test_a_trained_classifier_has_the_statistics_of_clean_real_images(make_set, quick, backbone):
    config = quick.model_copy(update={"backbone": backbone, "keep": "last", "steps": 6})
    train_set = _with_synthetic_images(make_set)
    made = train(TrainingJob(config, SYNTHETIC, train_set, make_set(seed=1), init_seed=3, batch_seed=4))
    kept = _buffers(made.model)
    loop = Loop.start(TrainingJob(config, SYNTHETIC, train_set, make_set(seed=1), 3, 4, CPU))
    clean = torch.cat(loop.clean)
    assert not train_set.is_synthetic()[clean].any()
    recompute_statistics(made.model, [as_float(loop.images[i]) for i in loop.clean], made.model.features)
    assert all(torch.equal(made.model.get_buffer(k), v) for k, v in kept.items())


def test_looking_at_validation_images_changes_nothing_of_the_training(make_set, quick):
    """The weights are those of running statistics, of clean ones, and of a training that is never evaluated."""
    weights = []
    for normalisation, evaluate_every in (("trained", 6), ("clean", 6), ("clean", 2), ("trained", 1000)):
        update = {"normalisation": normalisation, "evaluate_every": evaluate_every, "keep": "last"}
        made = train(TrainingJob(
            quick.model_copy(update=update), SYNTHETIC, _with_synthetic_images(make_set), make_set(seed=1),
            init_seed=3, batch_seed=4,
        ))  # fmt: skip
        weights.append([p.detach() for p in made.model.parameters()])
    for others in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], others, strict=True))


def test_split_normalises_each_kind_by_its_own_moments(make_set, quick):
    config = quick.model_copy(update={"normalisation": "split", "dropout": 0.0})
    loop, other = (
        Loop.start(TrainingJob(config, SYNTHETIC, _with_synthetic_images(make_set), make_set(seed=1), 3, 4, CPU))
        for _ in range(2)
    )
    index, real_count = loop._real_first(torch.tensor([20, 1, 15, 2, 3, 16, 12, 18]))
    assert index.tolist() == [1, 2, 3, 12, 20, 15, 16, 18]
    assert real_count == 4
    loop.model.train()
    images = as_float(loop.images[index])
    together = loop._features(images, real_count)
    statistics = _buffers(loop.model)
    apart = torch.cat([loop.model.features(part) for part in images.split(4)])
    assert torch.equal(together, apart)
    other.model.train().features(images[:4])
    expected = {k: v for k, v in _buffers(other.model).items() if "running" in k}
    assert all(torch.equal(statistics[k], v) for k, v in expected.items())
    few = loop._features(images, 2)  # a part too small for moments of its own
    assert torch.equal(few, loop.model.features(images))


def test_split_is_clean_where_nothing_is_synthetic(make_set, quick):
    arm = ArmConfig(name="x", augmentation="traditional")
    clean, split = (
        train(
            TrainingJob(
                quick.model_copy(update={"normalisation": n}),
                arm,
                make_set(),
                make_set(seed=1),
                init_seed=3,
                batch_seed=4,
            )
        )
        for n in ("clean", "split")
    )
    for a, b in zip(clean.model.state_dict().values(), split.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
