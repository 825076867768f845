from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from synaug_core.classify.model import channel_statistics
from synaug_core.classify.optimisation import class_weights, learning_rate, optimizer
from synaug_core.classify.scores import balanced_accuracy, balanced_cross_entropy, cross_entropy, macro_auc
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.seeds import stream


@pytest.mark.parametrize("seed", range(5))
def test_balanced_accuracy_agrees_with_scikit_learn(seed):
    from sklearn.metrics import balanced_accuracy_score

    g = stream(seed)
    labels = torch.randint(0, 4, (60,), generator=g)
    logits = torch.randn(60, 4, generator=g) + F.one_hot(labels, 4)
    assert balanced_accuracy(logits, labels) == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))


def test_absent_classes_do_not_count():
    logits = torch.eye(4)[[0, 0, 2]]
    assert balanced_accuracy(logits, torch.tensor([0, 0, 2])) == 1.0
    assert balanced_accuracy(logits, torch.tensor([0, 1, 1])) == 0.5
    assert math.isnan(balanced_accuracy(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_macro_area_agrees_with_scikit_learn(classes):
    from sklearn.metrics import roc_auc_score

    stream = torch.Generator().manual_seed(classes)
    logits = torch.randn(80, classes, generator=stream).mul(2).round()  # ties count half
    labels = torch.arange(80) % classes
    chances = logits.double().softmax(1)
    one_hot = torch.nn.functional.one_hot(labels, classes)
    assert macro_auc(logits, labels) == pytest.approx(roc_auc_score(one_hot, chances, average="macro"))


def test_the_area_leaves_out_classes_without_images_inside_and_outside():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert macro_auc(logits, torch.tensor([0, 1])) == 1
    assert math.isnan(macro_auc(logits, torch.tensor([1, 1])))


def test_balanced_cross_entropy_weighs_every_class_alike():
    logits = torch.randn(30, 4, generator=stream(2))
    labels = torch.tensor([0] * 20 + [1] * 8 + [3] * 2)
    weight = torch.tensor([1 / 20, 1 / 8, 0, 1 / 2]).double()
    expected = F.cross_entropy(logits.double(), labels, weight=weight).item()
    assert balanced_cross_entropy(logits, labels) == pytest.approx(expected)
    assert math.isnan(balanced_cross_entropy(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)))


def test_cross_entropy_by_hand():
    assert cross_entropy(torch.zeros(2, 4), torch.tensor([1, 3])) == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", (1, 1, 1, 1)), ("step", (1, 0.1, 0.01, 0.01)), ("cosine", (1, 0.5, 0.1464466, 0))],
)
def test_schedules(schedule, rates):
    config = ClassifierConfig(steps=1000, schedule=schedule, learning_rate=1e-2)
    for step, rate in zip((0, 500, 750, 999), rates, strict=True):
        assert learning_rate(config, step) == pytest.approx(1e-2 * rate, abs=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_only_matrices_decay(name):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    made = optimizer(model, ClassifierConfig(optimizer=name, weight_decay=0.5))
    assert type(made).__name__.lower() == name
    assert [g["weight_decay"] for g in made.param_groups] == [0.5, 0.0]
    assert [len(g["params"]) for g in made.param_groups] == [1, 3]


def test_class_weights_agree_with_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    config = ClassifierConfig(class_weights="balanced")
    weights = class_weights(config, labels, 4, balanced_draws=False)
    expected = compute_class_weight("balanced", classes=labels.unique().numpy(), y=labels.numpy())
    assert weights.tolist() == pytest.approx([expected[0], expected[1], 0, expected[2]])
    assert class_weights(config, labels, 4, balanced_draws=True) is None
    assert class_weights(ClassifierConfig(), labels, 4, balanced_draws=False) is None


def test_statistics_of_real_images_only():
    images = torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8, generator=stream(0))
    notes = ('{"source": "x"}',) * 20 + ('{"generator": "vae"}',) * 10
    names = tuple(str(i) for i in range(30))
    made = ImageSet(images, torch.zeros(30, dtype=torch.int64), ("a",), names, names, notes)
    mean, std = channel_statistics(made)
    real = images[:20].double() / 255
    assert mean == pytest.approx(real.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(real.std((0, 2, 3), correction=0).tolist())
    only_made = made.take(range(20, 30))
    assert channel_statistics(only_made)[0] == pytest.approx((images[20:].double() / 255).mean((0, 2, 3)).tolist())


def test_constant_images_keep_a_spread():
    told = ('{"source": "x"}', '{"source": "y"}')
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    dark = ImageSet(pixels, torch.zeros(2).long(), ("a",), ("x", "y"), ("x", "y"), told)
    assert channel_statistics(dark) == ((0.0,), (0.01,))
