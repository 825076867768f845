import pytest
import torch

from synaug_core.classify.frozen.head import image_weights
from synaug_core.classify.frozen.oversampling import make_points, plan_points
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import (
    NAMED_ARMS,
    STANDARD_ARMS,
    ArmConfig,
    ClassifierConfig,
    Config,
    OversamplingConfig,
    SynthesisConfig,
)
from synaug_core.errors import ConfigError, DataError
from synaug_core.preflight import check_config
from synaug_core.seeds import stream
from synaug_core.testing.conformance import make_images

METHODS = ("shared_covariance", "eos", "own_covariance", "interpolation")
SETS = {"a": 30, "b": 20, "rare": 6, "single": 1}


@pytest.fixture(scope="module")
def images():
    return make_images(SETS, 1, 16)


@pytest.fixture(scope="module")
def features(images):
    random = stream(0)
    centres = torch.randn(len(SETS), 8, generator=random, dtype=torch.float64)
    return 3 * centres[images.labels] + torch.randn(len(images), 8, generator=random, dtype=torch.float64)


def made(features, images, method, name="rare", n=400, seed=1, **choices):
    """Points of one class."""
    totals = {"sampling_strategy": {name: SETS[name] + n}}
    config = OversamplingConfig(method=method, **totals, **choices)
    rows = make_points(features, plan_points(images, config), config, seed)
    assert torch.equal(rows[: len(images)], features)
    return rows[len(images) :]


def own(features, images, name="rare"):
    return features[images.rows_of(name)]


def test_shared_covariance_is_the_mean_and_variation_of_frequent_classes(features, images):
    points = made(features, images, "shared_covariance", spread=0.5)
    residuals = torch.cat([own(features, images, k) - own(features, images, k).mean(0) for k in ("a", "b")])
    steps = (points - own(features, images).mean(0)) / 0.5
    distance = torch.cdist(steps, residuals)
    assert float(distance.min(1).values.max()) < 1e-6
    assert len(distance.argmin(1).unique()) == 50  # every image of both classes has a part in it
    few = make_images({"a": 30, "single": 1}, 1, 16)
    config = OversamplingConfig(sampling_strategy={"a": 31})
    with pytest.raises(DataError, match="no class but 'a' has two training images"):
        make_points(features[:31], plan_points(few, config), config, 1)


def test_own_covariance_is_that_of_its_own_images(features, images):
    points, real = made(features, images, "own_covariance", n=20_000), own(features, images)
    assert torch.allclose(points.mean(0), real.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(points.T), torch.cov(real.T), atol=0.15)


@pytest.mark.parametrize(("method", "spread"), [("interpolation", 1.0), ("eos", 1.0), ("eos", 0.3)])
def test_ways_begin_at_an_image_of_the_class(features, images, method, spread):
    points, real = made(features, images, method, spread=spread), own(features, images)
    ends = real if method == "interpolation" else features[images.labels != images.classes.index("rare")]
    way = ends[None] - real[:, None]
    along = ((points[:, None, None] - real[:, None]) * way).sum(3) / way.square().sum(2).clamp(min=1e-12)
    off = (points[:, None, None] - real[:, None] - along[..., None] * way).norm(dim=3)
    off[(along < -1e-9) | (along > spread + 1e-9)] = torch.inf
    assert float(off.flatten(1).min(1).values.max()) < 1e-6
    if method == "eos":  # the enemies are near
        longest = torch.cdist(real, ends).sort(1).values[:, 9].max()
        assert float(torch.cdist(points, real).min(1).values.max()) <= spread * float(longest) + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_other_features_of_the_same_images_get_the_same_draws(features, images, method):
    points = made(features, images, method)
    assert torch.allclose(made(2 * features, images, method), 2 * points)
    assert torch.equal(made(features, images, method), points)
    assert not torch.allclose(made(features, images, method, seed=2), points)
    alone = made(features, images, method, name="single", n=3)
    stays = torch.allclose(alone, own(features, images, "single").expand(3, -1))
    assert stays == (method in ("own_covariance", "interpolation"))


def test_how_many_and_what_they_weigh(images):
    arm = ArmConfig(name="o", sampling="balanced", oversampling=OversamplingConfig(), real_share=0.6)
    points = plan_points(images, arm.oversampling)
    assert torch.bincount(points.labels).tolist() == [30] * 4
    assert int(points.is_synthetic().sum()) == 10 + 24 + 29
    weights, prior = image_weights(ClassifierConfig(), arm, points)
    assert float(weights.sum()) == pytest.approx(len(images))
    assert prior.tolist() == pytest.approx([0.25] * 4)
    rare = points.labels == 2
    assert float(weights[rare & ~points.synthetic].sum() / weights[rare].sum()) == pytest.approx(0.6)
    assert len(plan_points(images, None).labels) == len(images)


def test_which_arms_have_points():
    for method in METHODS:
        arm = ArmConfig(name="o", oversampling=OversamplingConfig(method=method))
        assert arm.is_control == (method in ("own_covariance", "interpolation"))
        assert arm.has_synthetic_images
    both = ArmConfig(
        name="o", oversampling=OversamplingConfig(method="interpolation"), synthesis=SynthesisConfig(strategy="prior")
    )
    assert not both.is_control
    with pytest.raises(ValueError, match="spread: eos goes from one image towards another"):
        OversamplingConfig(method="eos", spread=2)
    with pytest.raises(ValueError, match="pretrain is for arms with synthesis"):
        ArmConfig(name="o", oversampling=OversamplingConfig(), pretrain=0.5)


def test_it_needs_a_frozen_backbone(images):
    arm = ArmConfig(name="o", oversampling=OversamplingConfig())
    scratch = ClassifierConfig(width=4, steps=4)
    with pytest.raises(ConfigError, match=r"arm o: oversampling makes points .* set classifier.training to frozen"):
        check_config(Config(arms=(arm,), classifier=scratch))
    with pytest.raises(ConfigError, match=r"set classifier.training to frozen"):
        train(TrainingJob(scratch, arm, images, images, init_seed=1, batch_seed=1))
    check_config(Config(arms=(arm,)))  # the classifier is chosen on the images, among those that can
    check_config(Config(arms=(arm,), classifier=ClassifierConfig.model_validate({"training": "frozen"})))
    assert all(a.oversampling is None for a in NAMED_ARMS.values())


def test_a_training_with_points(make_set):
    config = ClassifierConfig.model_validate({"training": "frozen", "input_size": 32, "views": 1})
    sets, val = make_set((24, 5), channels=3), make_set((8, 6), channels=3, seed=1)
    arm = STANDARD_ARMS["control"].model_copy(update={"oversampling": OversamplingConfig()})

    def weight(arm, seed=2):
        return train(TrainingJob(config, arm, sets, val, init_seed=1, batch_seed=seed)).model.linear.weight

    with_points = weight(arm)
    assert torch.equal(weight(arm), with_points)
    assert not torch.allclose(weight(arm, seed=3), with_points)
    assert not torch.allclose(weight(STANDARD_ARMS["control"]), with_points)
