"""Temperatures, calibration, and what a threshold gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.reliability import (
    LIMITS,
    Reliability,
    apply,
    brier,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from synaug_core.evaluate.scorer import calibration, scores


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def of(logits, labels):
    classes = tuple(f"class {c}" for c in range(logits.shape[1]))
    return Predictions(tuple(map(str, range(len(labels)))), np.asarray(labels, np.int64), softmax(logits), classes)


def honest(n, classes=3, seed=0):
    """Logits and labels drawn from them: T = 1 is right."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, (n, classes))
    return z, (softmax(z).cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1)


@pytest.mark.parametrize("distortion", [0.5, 1.0, 2.5])
def test_a_known_distortion_is_found(distortion):
    z, y = honest(6000)
    assert fit_temperature(of(distortion * z, y)) == pytest.approx(distortion, rel=0.05)


@pytest.mark.parametrize("classes", [2, 5])
def test_without_the_pull_it_is_scikit_learns(classes):
    from sklearn import calibration
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        """Its inputs are its logits."""

        def fit(self, x, y):
            self.classes_ = np.unique(y)
            return self

        def decision_function(self, x):
            return x if x.shape[1] > 2 else x[:, 1] - x[:, 0]

        def predict(self, x):
            return x.argmax(1)

    z, y = honest(300, classes, seed=3)
    z = 1.7 * z
    try:
        oracle = calibration.CalibratedClassifierCV(FrozenEstimator(Given().fit(z, y)), method="temperature").fit(z, y)
    except ValueError:
        pytest.skip("scikit-learn has temperature scaling from 1.8 on")
    p = of(z, y)
    t = fit_temperature(p, pull=0)
    scale = 2 if classes == 2 else 1  # scikit-learn takes a single logit x for the pair (-x, x)
    beta = oracle.calibrated_classifiers_[0].calibrators[0].beta_
    assert 1 / t == pytest.approx(scale * beta, rel=1e-5)
    np.testing.assert_allclose(apply(p, t).probabilities, oracle.predict_proba(z), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(4, 60), st.floats(0.2, 5), st.sampled_from([0, 1, 4]), st.integers(0, 2**32 - 1))
def test_no_temperature_of_a_grid_is_better(classes, n, distortion, pull, seed):
    z, y = honest(n, classes, seed)
    p = of(distortion * z, y)
    if len(np.unique(y)) < 2:
        assert fit_temperature(p, pull=pull) == 1
        return

    def loss(t):
        return n * negative_log_likelihood(apply(p, t)) + pull * (1 / t - 1 + np.log(t))

    t = fit_temperature(p, pull=pull)
    assert LIMITS[0] <= t <= LIMITS[1]
    assert loss(t) <= min(loss(g) for g in np.geomspace(*LIMITS, 200)) + 1e-4


def test_few_images_that_are_all_right_do_not_make_it_certain():
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 1, (12, 3)), np.arange(12) % 3
    z[np.arange(12), y] += 5
    assert fit_temperature(of(z, y), pull=0) < 0.1
    assert 0.6 < fit_temperature(of(z, y)) < 1
    # worse than chance: as flat as it may be
    assert fit_temperature(of(z, (y + 1) % 3), pull=0) == pytest.approx(LIMITS[1], rel=1e-3)


def test_images_that_cannot_say_leave_it_as_it_is(made):
    assert fit_temperature(None) == 1
    p = made((4, 6))
    assert fit_temperature(p.in_order(())) == 1
    assert fit_temperature(p.in_order(p.ids[:4])) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(1, 30), st.floats(*LIMITS), st.integers(0, 2**32 - 1))
def test_scaling_is_that_of_the_logits_and_keeps_the_answer(classes, n, t, seed):
    z, y = honest(n, classes, seed)
    p, scaled = of(z, y), apply(of(z, y), t)
    np.testing.assert_allclose(scaled.probabilities, softmax(z / t), atol=1e-12)
    np.testing.assert_array_equal(scaled.predicted, p.predicted)
    np.testing.assert_allclose(apply(scaled, 1 / t).probabilities, p.probabilities, atol=1e-6)
    assert (scaled.ids, scaled.classes) == (p.ids, p.classes)
    confidence, before = scaled.probabilities.max(1), p.probabilities.max(1)
    assert np.all((confidence <= before + 1e-9) if t > 1 else (confidence >= before - 1e-9))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_0_is_survived(dtype):
    p = Predictions(("a", "b", "c"), np.array([0, 1, 1]), np.array([[1, 0], [0, 1], [1, 0]], dtype), ("x", "y"))
    t = fit_temperature(p)
    assert 1 < t <= LIMITS[1]
    for temperature in (*LIMITS, t):
        assert np.isfinite(apply(p, temperature).probabilities).all()
    assert negative_log_likelihood(p) == pytest.approx(87.34 / 3, rel=1e-3)


def test_a_temperature_of_1_changes_nothing(made):
    p = made((5, 5))
    assert apply(p, 1.0) is p
    assert len(apply(p.in_order(()), 2.0)) == 0


def test_loss_is_scikit_learns(made):
    from sklearn.metrics import log_loss

    p = made((20, 30, 9))
    assert negative_log_likelihood(p) == pytest.approx(log_loss(p.labels, p.probabilities))


def test_it_is_deterministic(made):
    p = made((20, 30, 9))
    assert fit_temperature(p) == fit_temperature(replace(p))


@pytest.mark.parametrize("t", [0, -1, float("inf"), float("nan")])
def test_impossible_temperatures_are_refused(made, t):
    with pytest.raises(ValueError, match="temperature"):
        apply(made((2, 2)), t)


def test_other_misuse_is_refused(made):
    with pytest.raises(ValueError, match="pull"):
        fit_temperature(made((2, 2)), pull=-1)
    with pytest.raises(ValueError, match="image"):
        negative_log_likelihood(made((2, 2)).in_order(()))


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
    assert r.point.reached_count == 0


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
