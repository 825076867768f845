"""`training: frozen`: the features, the convex head, and one training from images to a stored classifier."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from synaug_core.checkpoints import Checkpoint
from synaug_core.classify.backbones import packaged_state
from synaug_core.classify.ensemble import train_arm
from synaug_core.classify.frozen import features as frozen_features
from synaug_core.classify.frozen import training as frozen_training
from synaug_core.classify.frozen.features import FeatureCache, features_of, features_of_view
from synaug_core.classify.frozen.head import DEFAULT_STRENGTH, STRENGTHS, image_weights, in_row_space, solve
from synaug_core.classify.model import build
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import NAMED_ARMS, STANDARD_ARMS, ArmConfig, ClassifierConfig, OnlineConfig, SynthesisConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.errors import ConfigError, DataError, DeadlineError
from synaug_core.nets.shown import Resize
from synaug_core.probes.explanation.eigengradcam import eigen_grad_cam, find_layer
from synaug_core.probes.robustness.attacks import freeze_copy, measure_response
from synaug_core.quality.features import features as quality_features
from synaug_core.seeds import stream

CONFIG = ClassifierConfig.model_validate({"training": "frozen", "input_size": 32, "views": 2})
ORIGINAL, BALANCED, CONTROL = (STANDARD_ARMS[name] for name in ("original", "balanced", "control"))
SEEDS = {"init_seed": 1, "batch_seed": 2}


@pytest.fixture(scope="module")
def sets(make_set: Any) -> tuple[ImageSet, ImageSet, ImageSet]:
    return make_set((24, 8), channels=3), make_set((8, 6), channels=3, seed=1), make_set((10, 10), channels=3, seed=2)


@pytest.fixture(scope="module")
def control(sets: Any) -> TrainedClassifier:
    return train(TrainingJob(CONFIG, CONTROL, sets[0], sets[1], **SEEDS))


def _rows(classes: int = 3, n: int = 60, d: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = stream(0)
    features = torch.randn(n, d, generator=random, dtype=torch.float64)
    labels = (features[:, :classes] + torch.randn(n, classes, generator=random)).argmax(1)
    return features, labels, torch.rand(n, generator=random, dtype=torch.float64) + 0.1


def _states(classifier: TrainedClassifier) -> dict[str, torch.Tensor]:
    return classifier.model.state_dict()


def _build(channels: int = 3, size: int = 16, **changes: Any) -> Any:
    config = ClassifierConfig.model_validate(CONFIG.model_dump() | changes)
    unset = (0.0,) * channels
    return build(config, channels=channels, size=size, classes=("a", "b"), seed=0, mean=unset, std=unset).eval()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_the_head_is_that_of_scikit_learn(classes: int, strength: float) -> None:
    features, labels, weights = _rows(classes)
    head, loss = solve(features, labels, weights, classes=classes, strength=strength)
    oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
    if classes == 2:  # scikit-learn has one vector there, ours are it and its negative, at half the penalty
        oracle.C = 2 * strength
    oracle.fit(features.numpy(), labels.numpy(), weights.numpy())
    if classes == 2:
        assert np.allclose(head.weight[1] - head.weight[0], oracle.coef_[0], atol=1e-4)
    else:
        assert np.allclose(head.weight, oracle.coef_, atol=1e-4)
        assert np.allclose(head.bias, oracle.intercept_, atol=1e-4)
    probabilities = head.logits(features).softmax(1)
    assert np.allclose(probabilities, oracle.predict_proba(features.numpy()), atol=1e-4)
    losses = F.cross_entropy(head.logits(features), labels, reduction="none")
    assert loss == pytest.approx(float((weights * losses).sum() / weights.sum()))
    again, _ = solve(features, labels, weights, classes=classes, strength=strength, start=head)
    assert torch.allclose(again.weight, head.weight, atol=1e-4)


def test_fewer_rows_than_features_are_solved_in_their_own_coordinates() -> None:
    features, labels, weights = _rows(n=15)
    coordinates, basis = in_row_space(features)
    assert basis is not None
    assert coordinates.shape == (15, 15)
    assert torch.allclose(basis.T @ basis, torch.eye(15, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(coordinates @ basis.T, features, atol=1e-12)
    head, loss = solve(features, labels, weights, classes=3, strength=0.1)
    own, own_loss = solve(coordinates, labels, weights, classes=3, strength=0.1)
    assert torch.allclose(own.lifted(basis).weight, head.weight, atol=1e-4)
    assert torch.allclose(own.bias, head.bias, atol=1e-4)
    assert own_loss == pytest.approx(loss, abs=1e-6)
    assert torch.allclose(own.lifted(basis).projected(basis).weight, own.weight, atol=1e-12)
    more, none = in_row_space(features[:, :10])
    assert none is None
    assert torch.equal(more, features[:, :10])


def test_the_path_of_strengths_ends_where_the_validation_loss_rises(sets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every third validation label wrong, a strong head is too sure of itself."""
    wrong = torch.arange(len(sets[1])) % 3 == 0
    val = replace(sets[1], labels=torch.where(wrong, 1 - sets[1].labels, sets[1].labels))
    ended = train(TrainingJob(CONFIG, BALANCED, sets[0], val, **SEEDS))
    monkeypatch.setattr(frozen_training, "_RISES", len(STRENGTHS))
    whole = train(TrainingJob(CONFIG, BALANCED, sets[0], val, **SEEDS))
    losses = [e.val_balanced_loss for e in whole.history.evaluations]
    assert len(losses) == len(STRENGTHS)
    assert ended.history.evaluations == whole.history.evaluations[: losses.index(min(losses)) + 3]
    assert len(ended.history.evaluations) < len(STRENGTHS)
    assert torch.equal(ended.model.linear.weight, whole.model.linear.weight)


def test_balanced_softmax_learns_what_the_prior_correction_takes_off() -> None:
    """Where the penalty is weak, and the bias free, the two differ by the adjustment alone."""
    features, labels, weights = _rows()
    adjustment = torch.tensor([1.0, 0.0, -2.0])
    plain, _ = solve(features, labels, weights, classes=3, strength=0.1)
    adjusted, _ = solve(features, labels, weights, classes=3, strength=0.1, adjustment=adjustment)
    difference = plain.bias - adjusted.bias
    assert torch.allclose(difference - difference.mean(), adjustment.double() - adjustment.mean(), atol=1e-3)
    assert torch.allclose(plain.weight, adjusted.weight, atol=1e-3)


def test_a_class_without_images_is_hardly_ever_predicted() -> None:
    features, labels, weights = _rows()
    weights[labels == 1] = 0
    head, _ = solve(features, labels, weights, classes=3, strength=0.1)
    assert (head.weight[1] == 0).all()
    assert head.logits(features).softmax(1)[:, 1].max() < 1e-6
    alone = labels == 0
    single, loss = solve(features[alone], labels[alone], weights[alone], classes=3, strength=0.1)
    assert loss == 0
    assert (single.logits(features).argmax(1) == 0).all()


def test_remembered_features_are_those_that_are_computed(sets: Any) -> None:
    """Bit for bit, in whatever company and order an image comes."""
    images = sets[0].images
    model, cache = _build(), FeatureCache(10**7)
    computed = features_of(model, images, cache=None)
    order = torch.randperm(len(images), generator=stream(3))
    some = features_of(model, images[order[:7]], cache=cache)
    shuffled = features_of(model, images[order], cache=cache)
    assert len(cache) == len({bytes(i.numpy().tobytes()) for i in images})
    assert torch.equal(computed[order], shuffled)
    assert torch.equal(some, shuffled[:7])
    batches = []
    again = features_of(model, images, cache=cache, after_batch=lambda: batches.append(1))
    assert torch.equal(again, computed)
    assert batches == [], "nothing was computed"
    other = features_of(_build(input_size=48), images[:2], cache=cache)
    assert not torch.equal(other, computed[:2])
    standard = features_of(_build(stem="standard"), images[:2], cache=cache)
    assert not torch.equal(standard, computed[:2]), "equal weights, another stride"
    assert torch.allclose(computed, model.backbone.features(model.normalised(images)), atol=1e-4)


def test_the_memory_of_features_is_bounded() -> None:
    row = torch.zeros(10)
    cache = FeatureCache(3 * row.nbytes)
    for number in range(5):
        cache.put(bytes([number]), row + number)
        cache.get(bytes([0]))
    assert len(cache) == 3
    assert cache.bytes == cache.most_bytes
    assert [n for n in range(5) if cache.get(bytes([n])) is not None] == [0, 3, 4], "the least recently used went"


def test_it_learns_and_says_how(control: TrainedClassifier, sets: Any) -> None:
    history = control.history
    assert history.ended == "solved"
    assert not history.is_still_learning
    losses = [e.val_balanced_loss for e in history.evaluations]
    assert [e.step for e in history.evaluations] == list(range(1, len(losses) + 1))
    assert history.head_strength == STRENGTHS[losses.index(min(losses))]
    assert history.best_step == losses.index(min(losses)) + 1
    train_losses = [e.train_loss for e in history.evaluations]
    assert train_losses == sorted(train_losses, reverse=True)
    rows = control.predict(sets[2])
    assert (rows.argmax(1) == sets[2].labels.numpy()).mean() > 0.9
    assert np.allclose(rows, control.predict(sets[2].images), atol=1e-5)


def test_a_large_set_is_predicted_in_parts(
    control: TrainedClassifier, sets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = control.predict(sets[2])
    monkeypatch.setattr(frozen_features, "_AT_ONCE", 7)
    assert np.allclose(control.predict(sets[2]), rows, atol=1e-6)
    assert control.predict(sets[2].take([])).shape == (0, 2)


def test_the_same_seed_gives_the_same_bytes(control: TrainedClassifier, sets: Any) -> None:
    again = train(TrainingJob(CONFIG, CONTROL, sets[0], sets[1], **SEEDS))
    for name, tensor in _states(again).items():
        assert torch.equal(tensor, _states(control)[name]), name
    other = train(TrainingJob(CONFIG, CONTROL, sets[0], sets[1], init_seed=4, batch_seed=2))
    assert not torch.equal(other.model.linear.weight, control.model.linear.weight), "other views"
    plain = [
        train(TrainingJob(CONFIG, ORIGINAL, sets[0], sets[1], init_seed=s, batch_seed=s)).model.linear.weight
        for s in (1, 2)
    ]
    assert torch.equal(*plain), "nothing is random without augmentation"


def test_a_view_of_an_image_is_the_same_in_any_company(control: TrainedClassifier, sets: Any) -> None:
    model, images, augmentation = control.model, sets[0].images, CONFIG.augmentation

    def view(rows: Any, number: int = 3, cache: Any = None) -> torch.Tensor:
        return features_of_view(model, images[rows], number, augmentation, "traditional", cache=cache)

    cache = FeatureCache(2**20)
    rows = [5, 2, 9]
    fresh = view(rows, cache=cache)
    assert torch.equal(fresh, view(range(12))[rows])
    assert torch.equal(fresh, view(rows, cache=cache)), "remembered"
    assert len(cache) == 3
    assert not torch.equal(fresh, view(rows, number=4)), "another view"
    plain = features_of(model, images[rows], cache=None)
    assert all(not torch.equal(a, b) for a, b in zip(fresh, plain, strict=True)), "every image is changed"


def test_threads_that_want_the_same_features_share_the_work(control: TrainedClassifier, sets: Any) -> None:
    images, cache = sets[0].images.repeat(4, 1, 1, 1), FeatureCache(2**24)
    images = (images.int() + torch.arange(len(images)).view(-1, 1, 1, 1)).clamp(max=255).to(torch.uint8)
    batches: list[int] = []

    def extract(name: int) -> torch.Tensor:
        return features_of(control.model, images, cache=cache, after_batch=lambda: batches.append(name))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(extract, (1, 2))
    assert torch.equal(first, second)
    assert torch.equal(first, features_of(control.model, images, cache=None))
    assert len(batches) == len(images) // 32, "each batch was computed by one of them"
    assert len(cache) == len(images)


def test_who_gives_up_leaves_the_features_to_others(control: TrainedClassifier, sets: Any) -> None:
    cache = FeatureCache(2**24)

    def fail() -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        features_of(control.model, sets[0].images, cache=cache, after_batch=fail)
    assert len(features_of(control.model, sets[0].images, cache=cache)) == len(sets[0])


def test_arms_of_a_repetition_are_shown_the_same_views(sets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(2**24)
    for function in (features_of, features_of_view):
        monkeypatch.setitem(function.__kwdefaults__, "cache", cache)
    sizes = []
    for arm, init_seed in ((CONTROL, 1), (STANDARD_ARMS["traditional"], 1), (CONTROL, 2), (CONTROL, 3), (CONTROL, 4)):
        train(TrainingJob(CONFIG, arm, sets[0], sets[1], init_seed=init_seed, batch_seed=len(sizes)))
        sizes.append(len(cache))
    images, val = len(sets[0]), len(sets[1])
    assert sizes[0] == sizes[1] == 3 * images + val
    assert sizes[-1] <= 5 * images + val, "no more than twice as many views as a training has"


def test_the_backbone_is_as_it_came(control: TrainedClassifier) -> None:
    network = control.model.backbone.features.network
    state = packaged_state(network, name="tf_efficientnet_lite0", head="classifier")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not any(p.requires_grad for p in network.parameters())


def test_features_are_standardised_by_the_real_images_as_they_are(control: TrainedClassifier, sets: Any) -> None:
    with torch.no_grad():
        features = control.model.features(sets[0].images)
    assert torch.allclose(features.mean(0), torch.zeros(features.shape[1]), atol=1e-2)
    assert float(features.std(0, correction=0).max()) < 1.05


def test_without_validation_images(sets: Any) -> None:
    classifier = train(TrainingJob(CONFIG, BALANCED, sets[0], sets[1].take([]), **SEEDS))
    assert classifier.history.head_strength == DEFAULT_STRENGTH
    assert classifier.history.best_score is None
    assert classifier.history.stopped_at == 1


def _with_made(real: ImageSet, made: ImageSet) -> ImageSet:
    texts = (json.dumps({"generator": "vae", "parents": []}),) * len(made)
    ids = tuple(f"made-{i}" for i in made.ids)
    return concatenate([real, ImageSet(made.images, made.labels, made.classes, ids, ids, texts)])


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
@pytest.mark.parametrize("least", [0.0, 0.5, 0.75])
def test_what_an_image_weighs(make_set: Any, sampling: Any, least: float) -> None:
    train_images = _with_made(make_set((20, 4)), make_set((0, 16), seed=1))
    arm = ArmConfig(name="a", sampling=sampling, synthesis=SynthesisConfig(), real_share=least)
    weights, learnt = image_weights(CONFIG, arm, train_images)
    assert float(weights.sum()) == pytest.approx(24)
    assert learnt.tolist() == pytest.approx([0.5, 0.5])
    rare, synthetic = train_images.labels == 1, train_images.is_synthetic()
    assert float(weights[rare & ~synthetic].sum() / weights[rare].sum()) == pytest.approx(max(least, 0.2))
    light = arm.model_copy(update={"synthetic_weight": 0.5})
    lighter, _ = image_weights(CONFIG, light, train_images)
    ratio = (lighter[rare & synthetic][0] / lighter[rare & ~synthetic][0]) / (
        weights[rare & synthetic][0] / weights[rare & ~synthetic][0]
    )
    assert float(ratio) == pytest.approx(0.5)


def test_natural_and_balanced_and_the_prior_between_them(sets: Any) -> None:
    """Uncorrected, the head of natural draws knows how frequent the classes are; corrected, it forgets it."""
    config = CONFIG.model_copy(update={"prior_correction": 0.0})
    natural, balanced = (
        train(TrainingJob(config, arm, sets[0], sets[1].take([]), **SEEDS)) for arm in (ORIGINAL, BALANCED)
    )
    assert natural.history.prior == pytest.approx((0.75, 0.25))
    assert balanced.history.prior == pytest.approx((0.5, 0.5))
    frequent = natural.predict(sets[2])[:, 0].mean()
    assert frequent > balanced.predict(sets[2])[:, 0].mean() + 0.01
    corrected = train(TrainingJob(CONFIG, ORIGINAL, sets[0], sets[1].take([]), **SEEDS))
    shift = corrected.model.prior_shift
    assert float(shift[0] - shift[1]) == pytest.approx(np.log(3), abs=1e-5)
    assert torch.equal(corrected.model.linear.weight, natural.model.linear.weight)
    assert corrected.predict(sets[2])[:, 0].mean() < frequent
    softmax = NAMED_ARMS["balanced_softmax"].model_copy(update={"augmentation": "none"})
    adjusted = train(TrainingJob(CONFIG, softmax, sets[0], sets[1].take([]), **SEEDS))
    assert np.allclose(adjusted.predict(sets[2]), corrected.predict(sets[2]), atol=1e-3)
    chosen = CONFIG.model_copy(update={"prior_correction": "auto"})
    auto = train(TrainingJob(chosen, ORIGINAL, sets[0], sets[1], **SEEDS))
    assert all(e.prior_correction is not None for e in auto.history.evaluations)


def test_the_share_of_augmented_images_is_respected(sets: Any) -> None:
    def of(probability: float, arm: ArmConfig = CONTROL) -> torch.Tensor:
        augmentation = CONFIG.augmentation.model_copy(update={"probability": probability})
        config = CONFIG.model_copy(update={"augmentation": augmentation})
        return train(TrainingJob(config, arm, sets[0], sets[1].take([]), **SEEDS)).model.linear.weight

    assert torch.equal(of(0.0), of(0.0, BALANCED))
    none, half, whole = of(0.0), of(0.5), of(1.0)
    assert (none - half).norm() < (none - whole).norm()


def test_a_stored_classifier_predicts_the_same_and_holds_each_weight_once(
    control: TrainedClassifier, sets: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.save(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    loaded = TrainedClassifier.load(tmp_path)
    assert (loaded.predict(sets[2]) == control.predict(sets[2])).all()
    assert (loaded.predict(sets[2].images) == control.predict(sets[2].images)).all()
    assert loaded.history.head_strength == control.history.head_strength
    numbers = sum(t.numel() for t in _states(control).values())
    assert (tmp_path / "weights.safetensors").stat().st_size < 4.5 * numbers


def test_probes_and_quality_take_it(control: TrainedClassifier, sets: Any) -> None:
    """Gradients reach the pixels, in a copy to attack too, and maps are made of them."""
    images, labels = sets[2].images[:4], sets[2].labels[:4]
    response = measure_response(freeze_copy(control.model), images.float() / 255, labels)
    assert response.gradient is not None
    assert bool(response.gradient.isfinite().all())
    assert float(response.gradient.abs().amax(dim=(1, 2, 3)).min()) > 0
    maps = eigen_grad_cam(control, images[:2], labels[:2])
    assert maps.shape == (2, 16, 16)
    assert maps.max() == 1
    rows = quality_features(sets[2], control)
    assert rows.shape == (20, control.model.width)


@pytest.mark.parametrize(("shown", "layer"), [(128, "blocks.4 (8 x 8)"), (224, "blocks.6 (7 x 7)")])
def test_maps_are_those_of_the_last_stage_that_shows_places(shown: int, layer: str) -> None:
    model = _build(1, 28, input_size=shown)
    assert str(find_layer(model, channels=1, size=28)) == f"features.network.{layer}"


@pytest.mark.parametrize(("channels", "size", "shown"), [(1, 28, 128), (3, 16, 128), (3, 180, 180), (3, 240, 224)])
def test_what_the_network_is_shown(channels: int, size: int, shown: int) -> None:
    model = _build(channels, size, input_size=None)
    images = torch.randint(0, 256, (2, channels, size, size), generator=stream(0), dtype=torch.uint8)
    assert model.normalised(images).shape == (2, 3, shown, shown)
    assert model(images).shape == (2, 2)


@pytest.mark.parametrize(("size", "shown"), [(28, 128), (64, 40)])
def test_resizing_is_bicubic_and_antialiased(size: int, shown: int) -> None:
    images = torch.rand(2, 3, size, size, generator=stream(0))
    expected = F.interpolate(images, size=(shown, shown), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.allclose(Resize(size, shown)(images), expected, atol=1e-5)


def test_other_networks_are_shown_that_size_too(make_set: Any, quick: ClassifierConfig) -> None:
    config = quick.model_copy(update={"input_size": 32})
    classifier = train(TrainingJob(config, ORIGINAL, make_set(), make_set(seed=1), **SEEDS))
    assert classifier.model.normalised(make_set().images).shape[-1] == 32
    assert classifier.size == 16


def test_a_killed_training_goes_on_to_the_same_bytes(control: TrainedClassifier, sets: Any, tmp_path: Any) -> None:
    class KilledError(Exception):
        pass

    def kill_late(done: int, total: int, **values: float) -> None:
        if done >= 0.6 * total:
            raise KilledError

    job = TrainingJob(CONFIG, CONTROL, sets[0], sets[1], **SEEDS)
    saved = Checkpoint(tmp_path / "state", interval=0)
    with pytest.raises(KilledError):
        train(TrainingJob(**{**vars(job), "checkpoint": saved, "progress": kill_late}))
    scores, done = [], []
    resumed = train(
        TrainingJob(
            **{
                **vars(job),
                "checkpoint": Checkpoint(tmp_path / "state", interval=0),
                "on_evaluation": lambda step, score: scores.append(step),
                "progress": lambda d, total, **values: done.append(d / total),
            }
        )
    )
    assert done[0] > 0.5, "it did not begin anew"
    assert done == sorted(done)
    assert done[-1] == 1
    assert scores == [e.step for e in resumed.history.evaluations]
    for name, tensor in _states(resumed).items():
        assert torch.equal(tensor, _states(control)[name]), name


def test_a_deadline_and_no_images(sets: Any) -> None:
    with pytest.raises(DeadlineError, match=r"arm control: the training passed 0 s in part 1 of 11"):
        train(TrainingJob(CONFIG, CONTROL, sets[0], sets[1], **SEEDS, deadline=0.0))
    with pytest.raises(DataError, match="no training image"):
        train(TrainingJob(CONFIG, CONTROL, sets[0].take([]), sets[1], **SEEDS))


@pytest.mark.parametrize(
    ("arm", "key"),
    [
        (NAMED_ARMS["mixup"], "mixing: mixup"),
        (NAMED_ARMS["deferred"], "sampling: deferred"),
        (NAMED_ARMS["ensemble"], "members above 1"),
        (ArmConfig(name="online", online=OnlineConfig()), "online"),
        (ArmConfig(name="first", synthesis=SynthesisConfig(), pretrain=0.5), "pretrain"),
    ],
)
def test_what_needs_a_loop_is_refused(sets: Any, arm: ArmConfig, key: str) -> None:
    line = f"arm {arm.name}: {key} needs a training loop, and classifier.training: frozen has none"
    with pytest.raises(ConfigError, match=line):
        train_arm(TrainingJob(CONFIG, arm, sets[0], sets[1], **SEEDS))
    assert ClassifierConfig().obstacle_to(arm) is None


def test_a_network_without_stages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models.efficientnet import EfficientNet

    monkeypatch.delattr(EfficientNet, "forward_intermediates")
    with pytest.raises(ConfigError, match="timm gives no stages of tf_efficientnet_lite0, and training: frozen"):
        _build()
