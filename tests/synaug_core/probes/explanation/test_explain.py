from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data.imageset import ImageSet
from synaug_core.evaluate.predictions import Predictions
from synaug_core.probes.explanation.eigengradcam import NoMapsError
from synaug_core.probes.explanation.explain import explain


@pytest.fixture
def test_set(noise_images) -> ImageSet:
    labels = torch.tensor([0] * 6 + [1] * 4 + [2] * 2)
    names = tuple(f"t{i}" for i in range(12))
    return ImageSet(noise_images(12), labels, ("a", "b", "c"), names, names, ("{}",) * 12)


def said(classifier: TrainedClassifier, images: ImageSet) -> Predictions:
    return Predictions(images.ids, images.labels.numpy(), classifier.predict(images), images.classes)


@pytest.fixture
def asked(classifier_of, test_set) -> Callable[..., dict]:
    """Arguments of `explain` for untrained classifiers of these seeds, one arm each."""

    def make(**seeds: int) -> dict:
        found = {arm: classifier_of(seed=seed) for arm, seed in seeds.items()}
        return {
            "classifiers": {arm: lambda c=c: c for arm, c in found.items()},
            "predictions": {arm: [said(c, test_set)] for arm, c in found.items()},
            "test": test_set,
            "reference": "control",
        }

    return make


def test_arms_side_by_side(asked, classifier_of, test_set) -> None:
    told = []
    given = asked(control=1, combined=2, original=3)
    found = explain(
        **given,
        best="combined",
        again=lambda: classifier_of(seed=4),
        images=5,
        measured=9,
        progress=lambda done, total, **_: told.append((done, total)),
    )
    explanation = found.explanation
    assert explanation.layer == "blocks.10 (7 x 7)"
    assert (explanation.reference, explanation.best) == ("control", "combined")
    assert list(explanation.change) == ["combined", "original"]
    assert {c.n for c in explanation.change.values()} | {explanation.noise.n} == {9}
    assert all(0.01 < c.correlation < 2 for c in [*explanation.change.values(), explanation.noise])
    assert len(explanation.images) == len(found.shown) == 5
    assert {image.label for image in explanation.images} == {"a", "b", "c"}
    assert [image.id for image in explanation.images] == list(found.shown.ids)
    assert list(found.maps) == ["control", "combined", "original"]
    assert all(m.shape == (5, 28, 28) and m.dtype == np.float32 for m in found.maps.values())
    view = explanation.images[0].arms["combined"]
    row = given["predictions"]["combined"][0].in_order((explanation.images[0].id,))
    assert view.predicted == row.classes[int(row.predicted[0])]
    assert view.probability == pytest.approx(float(row.probabilities[0, row.labels[0]]))
    assert explanation.images[0].arms["control"].change is None
    assert told == [(i, 4) for i in (1, 2, 3, 4)]


def test_identical_classifiers_change_nothing_and_results_repeat(asked, classifier_of) -> None:
    given = asked(control=1, combined=1)
    found = explain(**given, best="combined", again=lambda: classifier_of(seed=1), images=3)
    for change in (found.explanation.change["combined"], found.explanation.noise):
        assert change.correlation == pytest.approx(0, abs=1e-12)
        assert change.overlap == 0
    again = explain(**given, best="combined", again=lambda: classifier_of(seed=1), images=3)
    assert again.explanation == found.explanation
    assert all(np.array_equal(again.maps[arm], found.maps[arm]) for arm in found.maps)


def test_one_arm_alone_is_shown(asked) -> None:
    found = explain(**asked(control=1), images=50)
    assert len(found.shown) == 12
    assert (found.explanation.change, found.explanation.noise) == ({}, None)


def test_images_that_are_not_there_are_refused(asked, test_set) -> None:
    given = asked(control=1) | {"test": test_set.take([0, 1, 2])}
    with pytest.raises(ValueError, match="not among the test images"):
        explain(**given, images=12)


def test_a_transformer_is_refused_with_a_reason(asked, classifier_of) -> None:
    given = asked(control=1)
    given["classifiers"] = {"control": lambda: classifier_of("vit_tiny_patch16_224", size=28)}
    with pytest.raises(NoMapsError, match="sequence of patches"):
        explain(**given, images=2)
