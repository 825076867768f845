"""Before and after scaling, with scikit-learn's losses."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from synaug_core.evaluate.metrics import calibration, scores
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.reliability import Reliability, brier, reliability
from synaug_core.evaluate.temperature import apply, fit_temperature

ASKED = {"rarest": "class c", "precision": 0.8, "confidence": 0.95, "resamples": 100, "seed": 2}


def too_sure(p, by=3.0):
    return apply(p, 1 / by)


@pytest.mark.parametrize("counts", [(30, 20), (30, 20, 10), tuple(range(3, 15))])
def test_brier_score_is_scikit_learns(made, counts):
    p = made(counts)
    expected = brier_score_loss(p.labels, p.probabilities, labels=range(len(counts)), scale_by_half=False)
    assert brier(p) == pytest.approx(expected)


def test_brier_score_ends():
    p = Predictions(("a", "b"), np.array([0, 1]), np.eye(2), ("x", "y"))
    assert brier(p) == 0
    assert brier(Predictions(("a", "b"), np.array([1, 0]), np.eye(2), ("x", "y"))) == 2
    with pytest.raises(ValueError, match="image"):
        brier(p.in_order(()))


def test_figures_are_means_over_repetitions(made):
    test, val = [made((30, 20, 10), seed=s) for s in range(3)], [made((30, 30, 30), seed=s) for s in (4, 5, 6)]
    r = reliability(test, val, **ASKED)
    temperatures = [fit_temperature(v) for v in val]
    assert r.temperatures == tuple(temperatures)
    assert r.temperature == pytest.approx(np.mean(temperatures))
    after = [apply(p, t) for p, t in zip(test, temperatures, strict=True)]
    for found, of in ((r.before, test), (r.after, after)):
        assert found.ece == pytest.approx(np.mean([scores(p)["ece"] for p in of]))
        assert found.nll == pytest.approx(np.mean([log_loss(p.labels, p.probabilities) for p in of]))
        assert found.brier == pytest.approx(np.mean([brier(p) for p in of]))
        images, confidence, correct = np.sum([calibration(p) for p in of], axis=0)
        assert found.bins.images == tuple(images)
        assert found.bins.correct == tuple(correct)
        assert found.bins.confidence == pytest.approx(confidence)
    assert (r.repetitions, r.validation_images) == (3, 90)
    assert set(r.points) == {"class a", "class b", "class c"}
    assert r.point == r.points["class c"]
    assert len(r.curve) == 50


def test_scaling_mends_a_classifier_that_is_too_sure(made):
    test = [too_sure(made((200, 200, 200), seed=s)) for s in range(2)]
    val = [too_sure(made((150, 150, 150), seed=s)) for s in (8, 9)]
    r = reliability(test, val, **ASKED)
    assert r.temperature > 1.5
    assert r.after.ece < r.before.ece / 2
    assert r.after.nll < r.before.nll
    assert r.after.brier < r.before.brier


def test_without_validation_images_nothing_is_scaled(made):
    r = reliability([made((9, 8, 7))], [None], **ASKED)
    assert r.temperatures == (1.0,)
    assert r.after == r.before
    assert r.validation_images == 0
    assert r.point.recall is None
    assert r.point.reached == 0


def test_folds(made):
    p = made((30, 30, 30))
    folds = [p.in_order(tuple(np.array(p.ids)[np.arange(90) % 3 == k])) for k in range(3)]
    r = reliability(folds, [made((20, 20, 20), seed=k) for k in range(3)], **ASKED)
    assert sum(r.before.bins.images) == 90
    assert r.point.test_positives == 30


def test_json_and_equal_seeds(made):
    args = [made((9, 9, 9), seed=1)] * 2, [made((9, 9, 9), seed=2), None]
    r = reliability(*args, **ASKED)
    assert Reliability.model_validate_json(r.model_dump_json()) == r
    assert reliability(*args, **ASKED).model_dump_json() == r.model_dump_json()


def test_an_unknown_class_is_refused(made):
    with pytest.raises(ValueError, match="no class is called lion"):
        reliability([made((9, 9))], [None], **(ASKED | {"rarest": "lion"}))
