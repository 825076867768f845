from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.mixing import Targets
from synaug_core.classify.online import is_due
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, GeneratorConfig, OnlineConfig
from synaug_core.errors import ConfigError
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.generators.base import FitJob
from synaug_core.generators.class_vae import ClassVAE
from synaug_core.seeds import stream
from synaug_core.synthesis.targeted import OnlineSynthesis
from synaug_core.synthesis.targeted.ascent import median_distance

ORIGINAL, CONTROL = STANDARD_ARMS["original"], STANDARD_ARMS["control"]
SEEDS = {"init_seed": 3, "batch_seed": 4}
CPU = torch.device("cpu")


@pytest.fixture
def fitted(make_set):
    """A small generator for the sets of `make_set`."""

    def fit(kind: str = "autoencoder", counts: tuple[int, ...] = (12, 8)):
        config = GeneratorConfig(kind=kind, steps=20, evaluate_every=10, width=4, latent_dim=6)
        data = make_set(counts)
        made = {"autoencoder": SpatialAutoencoder, "vae": ClassVAE}[kind](config, data.classes, 1, 16)
        return made.fit(data, FitJob(seed=1, device=CPU))

    return fit


@pytest.fixture
def online(make_set, fitted):
    def make(kind: str = "autoencoder", **choices):
        config = OnlineConfig(**{"samples": 4, "steps": 2, "start": 0.25, "share": 0.5, **choices})
        return OnlineSynthesis([fitted(kind)], make_set(), config, batch_size=8)

    return make


def _bytes(trained) -> list[bytes]:
    return [v.numpy().tobytes() for v in trained.model.state_dict().values()]


def _model(make_set, config):
    return Loop.start(TrainingJob(config, ORIGINAL, make_set(), make_set(seed=1), 3, 4, CPU)).model


def test_when_it_is_due():
    config = OnlineConfig(start=0.3, every=3)
    assert [s for s in range(20) if is_due(config, s, 20)] == [6, 9, 12, 15, 18]
    assert not any(is_due(OnlineConfig(start=1.0), s, 20) for s in range(20))


@pytest.mark.parametrize("kind", ["autoencoder", "vae"])
@pytest.mark.parametrize("strategy", ["targeted", "random", "reconstruct"])
def test_what_is_made(make_set, quick, online, kind, strategy):
    maker, model = online(kind, strategy=strategy), _model(make_set, quick)
    positions = torch.tensor([13, 2, 15, 0, 4, 19, 1, 7])
    images, labels = maker.make(model, positions, stream(1))
    assert images.shape == (4, 1, 16, 16)
    assert images.dtype == torch.float32
    assert not images.requires_grad
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert torch.equal(labels, make_set().labels[positions[:4]])
    again = maker.make(model, positions, stream(1))[0]
    assert torch.equal(images, again)
    other = maker.make(model, positions, stream(2))[0]
    assert torch.equal(images, other) == (strategy == "reconstruct")


@pytest.mark.parametrize("strategy", ["targeted", "random"])
@pytest.mark.parametrize("training", [True, False])
def test_the_classifier_is_left_as_it_is(make_set, quick, online, strategy, training):
    model = _model(make_set, quick).train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    online(strategy=strategy).make(model, torch.arange(8), stream(1))
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert {m.training for m in model.modules()} == {training}
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["autoencoder", "vae"])
def test_steps_stay_within_the_bound_and_random_ones_are_as_long(make_set, quick, online, fitted, kind):
    generator, model, train_images = fitted(kind), _model(make_set, quick), make_set()
    found = {}
    for strategy in ("reconstruct", "targeted", "random"):
        maker = online(kind, strategy=strategy, steps=4, radius=0.6)
        ends = []
        maker._decoder = functools.partial(_noting, maker._decoder, ends)
        maker.make(model, torch.tensor([1, 14, 3, 17, 0, 0, 0, 0]), stream(1))
        found[strategy] = ends[-1]
    start = found["reconstruct"]
    unit = torch.tensor(
        [
            median_distance(generator.encode(train_images.of_class(name).images, name)[0])
            for name in ("a", "b", "a", "b")
        ]
    )
    length = {s: (found[s] - start).norm(dim=1) / unit for s in ("targeted", "random")}
    torch.testing.assert_close(length["targeted"], length["random"], atol=1e-4, rtol=1e-4)
    assert float(length["targeted"].max()) <= 0.6 + 1e-4
    assert float(length["targeted"].max()) > 0.1


def _noting(decoder, ends, labels):
    """The decoder, which also notes what it decodes."""
    decode = decoder(labels)

    def noted(z):
        ends.append(z.detach())
        return decode(z)

    return noted


def test_only_real_images_are_started_from(make_set, quick, online):
    maker, model = online(strategy="reconstruct"), _model(make_set, quick)
    mixed = torch.tensor([25, 3, 21, 14, 30, 9, 40, 22])  # there are 20 real images
    labels = maker.make(model, mixed, stream(1))[1]
    assert torch.equal(labels[:3], make_set().labels[[3, 14, 9]])
    assert len(labels) == 4


def test_before_its_start_the_training_is_the_one_without(make_set, quick, online):
    sets = make_set(), make_set(seed=1)

    def at(step, maker):
        loop = Loop.start(TrainingJob(quick, CONTROL, *sets, 3, 4, CPU, maker))
        while loop.step < step:
            loop.advance()
        return [v.numpy().tobytes() for v in loop.model.state_dict().values()]

    maker = online(start=0.5)
    assert at(12, maker) == at(12, None)
    assert at(13, maker) != at(13, None)
    never = online(start=1.0)
    whole = [train(TrainingJob(quick, CONTROL, *sets, **SEEDS, online=m)) for m in (None, never)]
    assert _bytes(whole[0]) == _bytes(whole[1])


def test_a_weight_near_zero_is_nearly_nothing(make_set, quick, online):
    """In a network whose images do not see each other."""

    def trained(maker):
        loop = Loop.start(TrainingJob(quick, CONTROL, make_set(), make_set(seed=1), 3, 4, CPU, maker))
        for name, module in list(loop.model.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                loop.model.set_submodule(name, nn.Identity())
        for _ in range(8):
            loop.advance()
        return list(loop.model.parameters())

    def apart(one, other):
        return max(float((a - b).detach().abs().max()) for a, b in zip(one, other, strict=True))

    plain, tiny, full = (trained(m) for m in (None, online(weight=1e-12), online(weight=1.0)))
    assert apart(plain, tiny) < 1e-4
    assert apart(plain, full) > 1e-3


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_each_image_counts_by_its_weight(make_set, quick, online, weight):
    """The loss is the weighted mean over all images, real ones with weight 1: computed here image by image."""
    config = quick.model_copy(update={"dropout": 0.0, "class_weights": "balanced"})
    maker = online(strategy="reconstruct", start=0.0, weight=weight)
    loop = Loop.start(TrainingJob(config, ORIGINAL, make_set(), make_set(seed=1), 3, 4, CPU, maker))
    index = torch.tensor([0, 3, 13, 14, 5, 6, 7, 15])
    images = loop.images[index].float() / 255
    loop.model.train()
    loss = loop._loss_with(maker, index, images, Targets(loop.labels[index]), len(index))
    made, labels = maker.make(loop.model, index, stream(1))
    logits = loop.model(torch.cat([images, made]), stream(1)).double()
    everything = torch.cat([loop.labels[index], labels])
    shares = torch.tensor([1.0] * 8 + [weight] * len(labels)) * loop.weights[everything]
    losses = -logits.log_softmax(1)[torch.arange(len(everything)), everything]
    assert float(loss.detach()) == pytest.approx(float((shares * losses).sum().detach() / shares.sum()), rel=1e-5)


@pytest.mark.parametrize("strategy", ["targeted", "random", "reconstruct"])
@pytest.mark.parametrize("arm", [ORIGINAL, CONTROL], ids=lambda a: a.name)
def test_it_trains_as_many_steps_and_repeats(make_set, quick, online, strategy, arm):
    sets = make_set(), make_set(seed=1)
    one, two = (train(TrainingJob(quick, arm, *sets, **SEEDS, online=online(strategy=strategy))) for _ in range(2))
    assert one.history.stopped_at == quick.steps
    assert _bytes(one) == _bytes(two)
    assert _bytes(one) != _bytes(train(TrainingJob(quick, arm, *sets, **SEEDS)))


@pytest.mark.parametrize("killed_at", [3, 7, 15, 22])
def test_a_killed_training_ends_with_the_same_bytes(make_set, quick, online, tmp_path, killed_at):
    sets, maker = (make_set(), make_set(seed=1)), online(every=2)
    whole = train(TrainingJob(quick, CONTROL, *sets, **SEEDS, online=maker))

    def kill(done: int, total: int, **values: float) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    kept = {"checkpoint": Checkpoint(tmp_path / "state.pt", interval=0)}
    with pytest.raises(KeyboardInterrupt):
        train(TrainingJob(quick, CONTROL, *sets, **SEEDS, online=maker, progress=kill, **kept))
    steps = []
    made = train(
        TrainingJob(
            quick,
            CONTROL,
            *sets,
            **SEEDS,
            online=online(every=2),
            progress=lambda done, *_, **__: steps.append(done),
            **kept,
        )
    )
    assert steps[0] == killed_at + 1
    assert _bytes(made) == _bytes(whole)
    assert made.history.evaluations == whole.history.evaluations


def test_a_checkpoint_of_other_online_settings_is_not_used(make_set, quick, online, tmp_path):
    sets = make_set(), make_set(seed=1)
    train(
        TrainingJob(
            quick, ORIGINAL, *sets, **SEEDS, online=online(), checkpoint=Checkpoint(tmp_path / "s.pt", interval=0)
        )
    )
    for other in (None, online(weight=2.0), online(strategy="random")):
        steps = []
        train(
            TrainingJob(
                quick,
                ORIGINAL,
                *sets,
                **SEEDS,
                online=other,
                checkpoint=Checkpoint(tmp_path / "s.pt", interval=1e9),
                progress=lambda done, *_, steps=steps, **__: steps.append(done),
            )
        )
        assert steps[0] == 1


def test_what_it_is_known_by(online):
    assert online().identity == online().identity
    others = [online(), online(steps=3), online(strategy="random"), online("vae")]
    assert len({maker.identity for maker in others}) == len(others)


def test_what_is_missing_is_said(make_set, quick, fitted, online):
    with pytest.raises(ConfigError, match="no generator was fitted for class 'c'"):
        OnlineSynthesis([fitted()], make_set((4, 4, 4)), OnlineConfig(), batch_size=8)
    with pytest.raises(ConfigError, match="needs training images"):
        OnlineSynthesis([fitted()], make_set().take([]), OnlineConfig(), batch_size=8)
    still = _model(make_set, quick.model_copy(update={"dropout": 0.0}))
    with pytest.raises(ConfigError, match="no dropout, so its posterior would have no spread"):
        online().make(still, torch.arange(8), stream(1))
    online(strategy="reconstruct").make(still, torch.arange(8), stream(1))
    arm = ArmConfig(name="targeted-mi", online=OnlineConfig())
    with pytest.raises(ValueError, match="nothing was given to make them"):
        train(TrainingJob(quick, arm, make_set(), make_set(seed=1), **SEEDS))


def test_a_generator_without_a_latent_space_is_refused(make_set):
    class Blind:
        kind, classes, joint = "blind", ("a", "b"), True

    with pytest.raises(ConfigError, match="blind has no latent space"):
        OnlineSynthesis([Blind()], make_set(), OnlineConfig(), batch_size=8)


@pytest.mark.gpu
def test_on_a_gpu(make_set, quick):
    device = torch.device("cuda")
    config = GeneratorConfig(kind="autoencoder", steps=20, evaluate_every=10, width=4)
    generator = SpatialAutoencoder(config, ("a", "b"), 1, 16).fit(make_set(), FitJob(seed=1, device=device))
    choices = OnlineConfig(samples=4, steps=2, start=0.2)
    maker = OnlineSynthesis([generator], make_set(), choices, batch_size=8, device=device)
    sets = make_set(), make_set(seed=1)
    one, two = (train(TrainingJob(quick, CONTROL, *sets, **SEEDS, device=device, online=maker)) for _ in range(2))
    assert (one.predict(make_set(seed=2)) == two.predict(make_set(seed=2))).all()
