"""`training: fine_tuned`: the head first, rates by stage, settled statistics, and what every arm makes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.backbones import names_by_depth
from synaug_core.classify.ensemble import train_arm
from synaug_core.classify.frozen.head import FIRST_STRENGTH, image_weights
from synaug_core.classify.model import as_float, batches, evaluating
from synaug_core.classify.normalisation import recompute_statistics
from synaug_core.classify.optimisation import learning_rate, optimizer, set_rates
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import Loop, TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ArmConfig, ClassifierConfig, SynthesisConfig
from synaug_core.config.arms import FURTHER_CONTROLS
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import ConfigError
from synaug_core.probes.explanation.eigengradcam import eigen_grad_cam
from synaug_core.probes.robustness.attacks import freeze_copy, measure_response
from synaug_core.quality.features import features as quality_features
from synaug_core.seeds import seeded_init, stream
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior

NETWORK = "test_efficientnet"
ORIGINAL, BALANCED, CONTROL = (STANDARD_ARMS[name] for name in ("original", "balanced", "control"))
PRETRAINED = ArmConfig(name="first", synthesis=SynthesisConfig(), pretrain=0.5)
SEEDS = {"init_seed": 3, "batch_seed": 4}
Configure = Callable[..., ClassifierConfig]
Sets = tuple[ImageSet, ImageSet, ImageSet]


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network, drawn at random, with statistics that are not those of a new one."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    with seeded_init(1):
        network = timm.create_model(NETWORK)
        network.train()(torch.rand(16, 3, 32, 32, generator=stream(0)))
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def configure(weights_file: Path) -> Configure:
    def of(**changes: Any) -> ClassifierConfig:
        quick = {"steps": 12, "batch_size": 8, "evaluate_every": 4, "input_size": 32, "frozen_statistics": 0.5}
        source = {"training": "fine_tuned", "backbone": NETWORK, "weights_file": str(weights_file)}
        return ClassifierConfig.model_validate(source | quick | changes)

    return of


@pytest.fixture(scope="module")
def sets(make_set: Any) -> Sets:
    return make_set((18, 8), channels=3), make_set((8, 6), channels=3, seed=1), make_set((10, 10), channels=3, seed=2)


@pytest.fixture(scope="module")
def control(configure: Configure, sets: Sets) -> TrainedClassifier:
    return train(TrainingJob(configure(), CONTROL, sets[0], sets[1], **SEEDS))


def _loop(config: ClassifierConfig, arm: ArmConfig, sets: Sets) -> Loop:
    return Loop.start(TrainingJob(config, arm, sets[0], sets[1], **SEEDS))


def _with_made(real: ImageSet, made: ImageSet) -> ImageSet:
    texts = (json.dumps({"generator": "vae", "parents": []}),) * len(made)
    ids = tuple(f"made-{i}" for i in made.ids)
    return concatenate([real, ImageSet(made.images, made.labels, made.classes, ids, ids, texts)])


def _bytes(classifier: TrainedClassifier) -> list[bytes]:
    return [t.numpy().tobytes() for t in classifier.model.state_dict().values()]


@pytest.mark.parametrize("arm", [ORIGINAL, BALANCED])
def test_the_head_first_is_that_of_scikit_learn(configure: Configure, make_set: Any, arm: ArmConfig) -> None:
    """On the standardised features of the images as they are, with what each weighs in the arm's draws."""
    images = make_set((14, 6, 9), channels=3), make_set((4, 4, 4), channels=3, seed=1), make_set()
    loop = _loop(configure(frozen_statistics=1.0), arm, images)
    loop.put_head_first(images[0])
    loop.model.eval()
    with torch.no_grad():
        features = loop.model.features(images[0].images).double()
        logits = loop.model.linear(features.float()).double()
    weights, _ = image_weights(configure(), arm, images[0])
    spread = features.std(0, correction=0)
    spread = spread.clamp_min(float(spread.median()) / 10)
    rows = ((features - features.mean(0)) / spread).numpy()
    oracle = LogisticRegression(C=FIRST_STRENGTH, tol=1e-10, max_iter=10_000)
    oracle.fit(rows, images[0].labels.numpy(), weights.numpy())
    assert np.allclose(logits.softmax(1), oracle.predict_proba(rows), atol=1e-4)
    assert np.allclose(loop.model.linear.weight.detach(), oracle.coef_ / spread.numpy(), atol=1e-3)


def test_the_first_head_is_evaluated_as_step_0_and_kept_where_nothing_is_better(
    configure: Configure, sets: Sets
) -> None:
    val = sets[1].take(range(len(sets[1])))
    val.labels.copy_(1 - sets[1].labels)  # what is learnt makes these worse
    loop = _loop(configure(), ORIGINAL, (sets[0], val, sets[2]))
    loop.put_head_first(sets[0])
    [first] = loop.evaluations
    assert first.step == 0
    assert 0 < first.train_loss < np.log(2) < (first.val_balanced_loss or 0.0)
    made = train(TrainingJob(configure(learning_rate=0.01), ORIGINAL, sets[0], val, **SEEDS))
    assert made.history.evaluations[0] == first
    assert made.history.best_step == 0
    assert made.history.stopped_at == 12
    for name, tensor in loop.finish("all steps", 0.0).model.state_dict().items():
        assert torch.equal(tensor, made.model.state_dict()[name]), name


def test_it_learns_more_than_its_first_head(configure: Configure, make_set: Any) -> None:
    """The features of random weights know little of these textures; those that are trained tell them apart."""
    images = make_set((20, 20), channels=3), make_set((30, 30), channels=3, seed=1), make_set()
    config = configure(steps=30, evaluate_every=10, learning_rate=4e-3, dropout=0.0)
    made = train(TrainingJob(config, ORIGINAL, images[0], images[1], **SEEDS))
    first, *later = made.history.evaluations
    assert made.history.best_step > 0
    assert min(e.val_balanced_loss or 9.0 for e in later) < 0.5 * (first.val_balanced_loss or 0.0)


@pytest.mark.parametrize("normalisation", ["clean", "trained", "split"])
def test_the_first_stages_keep_their_statistics_and_all_weights_are_trained(
    configure: Configure, sets: Sets, weights_file: Path, normalisation: str
) -> None:
    config = configure(normalisation=normalisation, keep="last")
    made = train(TrainingJob(config, CONTROL, _with_made(sets[0], sets[2]), sets[1], **SEEDS)).model
    given = load_file(weights_file)
    stages = names_by_depth(made.backbone)
    assert 0 < len(made.settled) < sum(isinstance(m, torch.nn.BatchNorm2d) for m in made.modules())
    settled = {f"{name.removeprefix('backbone.')}." for name in made.settled}
    assert {name.rpartition(".")[0] + "." for name in stages[0] if "bn" in name} <= settled
    for name, tensor in made.backbone.state_dict().items():
        if "running" in name:
            is_settled = name.rpartition(".")[0] + "." in settled
            assert torch.equal(tensor, given[name]) == is_settled, name
        elif tensor.is_floating_point():
            assert not torch.equal(tensor, given[name]), name
    assert set(made.backbone.state_dict()) == {n for n in given if not n.startswith("classifier.")}


@pytest.mark.parametrize(("share", "settled"), [(0.0, 0), (1.0, None)])
def test_none_or_all_of_the_statistics_are_kept(
    configure: Configure, sets: Sets, share: float, settled: int | None
) -> None:
    model = _loop(configure(frozen_statistics=share), ORIGINAL, sets).model
    layers = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(model.settled) == (len(layers) if settled is None else settled)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    recompute_statistics(model, [as_float(sets[0].images)], model.features)
    unchanged = [torch.equal(before[name], b) for name, b in model.named_buffers() if "running" in name]
    assert set(unchanged) == {share == 1.0}


def test_with_all_statistics_kept_an_image_is_trained_on_without_its_neighbours(
    configure: Configure, sets: Sets
) -> None:
    """Its features in training are those of an evaluation; a batch of one image can be trained on."""
    model = _loop(configure(frozen_statistics=1.0), ORIGINAL, sets).model.train()
    torch.testing.assert_close(
        model.features(sets[0].images[:1]), model.eval().features(sets[0].images)[:1], atol=1e-5, rtol=1e-4
    )
    train(TrainingJob(configure(frozen_statistics=1.0, batch_size=1, steps=2), ORIGINAL, sets[0], sets[1], **SEEDS))
    with pytest.raises(ConfigError, match="normalises over the batch and needs at least 2"):
        train(TrainingJob(configure(batch_size=1, steps=2), ORIGINAL, sets[0], sets[1], **SEEDS))


def test_modes_are_kept_by_copies_and_come_back(configure: Configure, sets: Sets) -> None:
    model = _loop(configure(), ORIGINAL, sets).model.train()

    def in_evaluation(network: Any) -> set[str]:
        return {n for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d) and not m.training}

    assert in_evaluation(model) == model.settled
    assert in_evaluation(copy.deepcopy(model).eval().train()) == model.settled
    with evaluating(model):
        assert len(in_evaluation(model)) > len(model.settled)
    assert in_evaluation(model) == model.settled


def test_rates_fall_towards_the_stem(configure: Configure, sets: Sets) -> None:
    config = configure(layer_decay=0.5, learning_rate=0.8, warmup=0.25, schedule="constant")
    loop = _loop(config, ORIGINAL, sets)
    names = {id(p): n for n, p in loop.model.named_parameters()}
    stages = loop.model.parameter_stages
    assert {"linear.weight", "linear.bias"} == {*names.values()}.difference(*stages)
    loop.advance()
    rates: dict[str, float] = {}
    for group in loop.optimizer.param_groups:
        for parameter in group["params"]:
            rates[names[id(parameter)]] = group["lr"]
            assert group["weight_decay"] == (0.0 if parameter.ndim <= 1 else config.weight_decay)
    assert len(rates) == len(names), "every parameter once"
    peak = 0.8 / 3  # the first of three steps of warm-up
    assert rates["linear.weight"] == rates["linear.bias"] == pytest.approx(peak)
    for depth, stage in enumerate(stages):
        assert [rates[n] for n in stage] == pytest.approx([peak * 0.5 ** (len(stages) - depth)] * len(stage))
    assert rates["backbone.conv_stem.weight"] < rates["backbone.blocks.1.0.conv_exp.weight"] < rates["linear.weight"]


def test_the_stages_are_those_that_timm_names() -> None:
    stages = names_by_depth(timm.create_model("resnet18", num_classes=0))
    assert [stage[0] for stage in stages] == ["conv1.weight", *(f"layer{n}.0.conv1.weight" for n in (1, 2, 3, 4))]
    plain = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    assert names_by_depth(plain) == (("0.weight", "0.bias", "1.weight", "1.bias"),)


def test_without_stages_the_groups_are_those_of_one_rate() -> None:
    layer = torch.nn.Linear(2, 3)
    made = optimizer(layer, ClassifierConfig(layer_decay=0.1))
    assert [g["params"] for g in made.param_groups] == [[layer.weight], [layer.bias]]
    set_rates(made, 0.5)
    assert [g["lr"] for g in made.param_groups] == [0.5, 0.5]


def test_the_rate_rises_first() -> None:
    config = ClassifierConfig(steps=20, warmup=0.25, learning_rate=1.0, schedule="constant")
    assert [learning_rate(config, step) for step in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])
    plain = config.model_copy(update={"warmup": 0.0, "schedule": "cosine"})
    warm = plain.model_copy(update={"warmup": 0.1})
    assert learning_rate(plain, 0) == 1.0
    assert [learning_rate(warm, s) for s in range(2, 20)] == [learning_rate(plain, s) for s in range(2, 20)]


@pytest.mark.parametrize(("killed_at", "keep"), [(1, "val_balanced_loss"), (6, "val_balanced_loss"), (11, "average")])
def test_a_killed_training_ends_with_the_same_bytes(
    configure: Configure, sets: Sets, tmp_path: Path, killed_at: int, keep: str
) -> None:
    config = configure(keep=keep)
    scores: list[tuple[int, float]] = []
    again: list[tuple[int, float]] = []
    job = TrainingJob(config, CONTROL, sets[0], sets[1], **SEEDS)
    whole = train(replace(job, on_evaluation=lambda *row: scores.append(row)))

    def kill(done: int, total: int, **values: float) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(job, progress=kill, checkpoint=Checkpoint(tmp_path / "state.pt", interval=0)))
    steps: list[int] = []
    resumed = train(
        replace(
            job,
            checkpoint=Checkpoint(tmp_path / "state.pt", interval=0),
            progress=lambda done, total, **values: steps.append(done),
            on_evaluation=lambda *row: again.append(row),
        )
    )
    assert steps[0] == killed_at + 1
    assert _bytes(resumed) == _bytes(whole)
    assert resumed.history.evaluations == whole.history.evaluations
    assert again == scores
    assert [step for step, _ in scores] == [0, 4, 8, 12]


@pytest.mark.parametrize(
    "arm", [*FURTHER_CONTROLS.values(), STANDARD_ARMS["combined"], PRETRAINED], ids=lambda a: a.name
)
def test_every_arm_is_fine_tuned(configure: Configure, sets: Sets, arm: ArmConfig) -> None:
    images = _with_made(sets[0], sets[2]) if arm.synthesis is not None else sets[0]
    assert configure().obstacle_to(arm) is None
    made = train_arm(TrainingJob(configure(), arm, images, sets[1], **SEEDS))
    assert made.history.stopped_at == 12
    assert made.history.evaluations[0].step == 0
    assert (made.predict(sets[2]).argmax(1) == sets[2].labels.numpy()).mean() > 0.6
    assert made.history.prior == pytest.approx((18 / 26, 8 / 26) if arm is PRETRAINED else (0.5, 0.5))


def test_balanced_softmax_puts_the_same_head_first(configure: Configure, sets: Sets) -> None:
    """Its head leaves the prior to the adjustment; corrected for it, that of natural draws predicts the same."""
    softmax = FURTHER_CONTROLS["balanced_softmax"]
    heads = []
    for arm in (softmax, ORIGINAL):
        loop = _loop(configure(frozen_statistics=1.0), arm, sets)
        loop.put_head_first(sets[0])
        heads.append(loop.model.eval()(sets[2].images).softmax(1).detach())
    torch.testing.assert_close(heads[0], heads[1], atol=0.02, rtol=0)


def test_images_made_in_the_loop_come_from_a_network_with_a_head(configure: Configure, sets: Sets) -> None:
    """The first head is that of the real images; what is made from them sees it."""

    class Copies:
        config = ArmConfig(name="x", online={"start": 0.0, "every": 1}).online
        identity = "copies"

        def __init__(self) -> None:
            self.losses: list[float] = []

        def make(self, model: Any, positions: torch.Tensor, _: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            with evaluating(model), torch.no_grad():
                loss = torch.nn.functional.cross_entropy(model(sets[0].images), sets[0].labels)
            self.losses.append(float(loss))
            return as_float(sets[0].images[positions[:4]]), sets[0].labels[positions[:4]]

    online = Copies()
    arm = ArmConfig(name="online", online=online.config)
    made = train(TrainingJob(configure(), arm, sets[0], sets[1], **SEEDS, online=online))
    assert len(online.losses) == 12
    assert online.losses[0] == pytest.approx(made.history.evaluations[0].train_loss, abs=0.25)
    assert online.losses[0] < 0.6 < np.log(2)


def test_products_in_bfloat16(configure: Configure, sets: Sets) -> None:
    made = train(TrainingJob(configure(steps=2), CONTROL, sets[0], sets[1], **SEEDS, precision="bfloat16"))
    assert {t.dtype for t in made.model.state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_without_validation_images(configure: Configure, sets: Sets) -> None:
    made = train(TrainingJob(configure(), BALANCED, sets[0], sets[1].take([]), **SEEDS))
    assert made.history.ended == "no validation images"
    assert made.history.best_step == 12


def test_a_stored_classifier_predicts_the_same_and_needs_no_file(
    control: TrainedClassifier, sets: Sets, tmp_path: Path
) -> None:
    absent = control.config.model_copy(update={"weights_file": str(tmp_path / "gone.safetensors")})
    replace(control, config=absent).save(tmp_path)
    loaded = TrainedClassifier.load(tmp_path)
    assert (loaded.predict(sets[2]) == control.predict(sets[2])).all()
    assert loaded.history.best_step == control.history.best_step
    assert loaded.model.settled == control.model.settled


def test_probes_and_quality_take_it(control: TrainedClassifier, sets: Sets) -> None:
    images, labels = sets[2].images[:4], sets[2].labels[:4]
    response = measure_response(freeze_copy(control.model), as_float(images), labels)
    assert response.gradient is not None
    assert float(response.gradient.abs().amax(dim=(1, 2, 3)).min()) > 0
    assert eigen_grad_cam(control, images, labels).shape == (4, 16, 16)
    assert quality_features(sets[2], control).shape == (20, control.model.width)
    probabilities = dropout_posterior(control.model, 4, stream(0))(as_float(images))
    assert probabilities.shape == (4, 4, 2)
    assert float(probabilities.detach().std(0).max()) > 0, "dropout is at work"


def test_evaluations_need_as_much_memory_whatever_size_is_shown(configure: Configure, make_set: Any) -> None:
    images = make_set((300, 2), channels=3)

    def sizes(config: ClassifierConfig) -> list[int]:
        model = Loop.start(TrainingJob(config, ORIGINAL, images, images, **SEEDS)).model
        return [len(part) for part in batches(model, images.images)]

    assert sizes(configure()) == [256, 46]
    assert sizes(configure(input_size=128)) == [64] * 4 + [46]
    assert sizes(configure(input_size=224)) == [20] * 15 + [2]
    assert batches(_loop(configure(), ORIGINAL, (images, images, images)).model, images.images[:0]) == ()
