"""A known distortion is found again; scikit-learn and a grid are the oracles."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.temperature import LIMITS, apply, fit_temperature, negative_log_likelihood


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
