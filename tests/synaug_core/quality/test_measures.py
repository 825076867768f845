"""KID, density and coverage, Vendi score: against other people's code, and what they are by definition."""

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.quality.features import features
from synaug_core.quality.measures import KidNull, bandwidth, density_coverage, kid, kid_null, vendi
from synaug_core.seeds import stream


def normal(n, d=8, shift=0.0, seed=0):
    return torch.randn(n, d, generator=stream(seed)) + shift


@pytest.mark.parametrize(("n", "shift"), [(2, 0.0), (7, 0.3), (60, 1.0)])
def test_kid_is_torch_fidelity_s(n, shift):
    from torch_fidelity.metric_kid import kernel_mmd

    a, b = normal(n, seed=1), normal(n, shift=shift, seed=2)
    theirs = kernel_mmd(
        a.double().numpy(),
        b.double().numpy(),
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
    )
    assert kid(a, b) == pytest.approx(float(theirs), abs=1e-6)


def test_kid_of_one_distribution_is_zero_on_average_whatever_the_sizes():
    values = [kid(normal(5, seed=i), normal(12, seed=1000 + i)) for i in range(400)]
    error = float(np.std(values)) / 20
    assert abs(float(np.mean(values))) < 3 * error
    assert min(values) < 0


def test_kid_sees_a_shift_beyond_its_null():
    reals = normal(60, seed=1)
    null = kid_null(reals, 30, 50, seed=0)
    assert null.n == 30
    assert len(null.values) == 50
    assert abs(null.mean) < null.std
    same, other = kid(reals, normal(60, seed=2)), kid(reals, normal(60, shift=1.0, seed=2))
    assert abs(null.z(same)) < 3 < null.z(other)
    assert null.share_above(same) > 0 == null.share_above(other)


def test_the_null_has_the_size_of_the_comparison_or_half_of_the_reals():
    assert kid_null(normal(40), 6, 5, seed=0).n == 6
    assert kid_null(normal(9), 6, 5, seed=0).n == 4
    assert kid_null(normal(3), 6, 5, seed=0) is None
    assert kid_null(normal(40), 6, 5, seed=0) == kid_null(normal(40), 6, 5, seed=0)
    assert kid_null(normal(40), 6, 5, seed=0) != kid_null(normal(40), 6, 5, seed=1)
    assert KidNull(2, (0.5, 0.5)).z(1.0) is None


@pytest.mark.parametrize(("n", "m", "k"), [(30, 30, 5), (12, 40, 3), (40, 9, 1)])
def test_density_and_coverage_are_prdc_s(n, m, k):
    from prdc import compute_prdc

    reals, images = normal(n, seed=1), normal(m, shift=0.4, seed=2)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(reals.double().numpy(), images.double().numpy(), nearest_k=k)
    ours = density_coverage(reals, images, k)
    assert ours.density == pytest.approx(theirs["density"], abs=1e-6)
    assert ours.coverage == pytest.approx(theirs["coverage"], abs=1e-6)
    assert (ours.k, ours.reals, ours.images) == (k, n, m)


def test_a_copy_of_the_reals_covers_them_and_strangers_cover_none():
    reals = normal(20)
    copy = density_coverage(reals, reals.clone(), 5)
    assert copy.coverage == 1
    assert copy.density == pytest.approx(1.0)  # each ball holds its own centre and its 4 nearest, the 5th is its edge
    away = density_coverage(reals, reals + 100, 5)
    assert (away.density, away.coverage) == (0, 0)
    alike = density_coverage(reals, reals[:1].expand(20, -1), 5)
    assert alike.coverage < 0.7


def test_k_is_clamped():
    assert density_coverage(normal(4), normal(4, seed=1), 5).k == 3
    assert density_coverage(normal(2), normal(2, seed=1), 5).k == 1


@given(st.integers(2, 12), st.sampled_from(["cosine", "rbf"]))
def test_vendi_of_equal_images_is_one(n, kernel):
    assert vendi(normal(1).expand(n, -1), kernel) == pytest.approx(1.0, abs=1e-6)
    assert vendi(torch.zeros(n, 3), kernel) == pytest.approx(1.0, abs=1e-6)


@given(st.integers(2, 12))
def test_vendi_of_orthogonal_images_is_their_number(n):
    assert vendi(3 * torch.eye(n)) == pytest.approx(n)
    assert vendi(1000 * torch.eye(n), "rbf", 1.0) == pytest.approx(n)


@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_vendi_of_two_kinds_is_two_and_grows_with_variety(kernel):
    kinds = torch.eye(2).repeat(6, 1) * 50
    assert vendi(kinds, kernel, 1.0) == pytest.approx(2.0)
    narrow, wide = normal(40) * 0.1 + 5, normal(40) + 5
    assert vendi(narrow, kernel, 1.0) < vendi(wide, kernel, 1.0)


def test_bandwidth_is_the_median_distance():
    assert bandwidth(torch.tensor([[0.0], [3.0]])) == 3
    assert bandwidth(torch.zeros(5, 2)) == 1
    assert bandwidth(torch.zeros(1, 2)) == 1


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_are_undefined(n):
    few, many = normal(n), normal(5)
    assert kid(few, many) is None
    assert kid(many, few) is None
    assert density_coverage(few, many, 5) is None
    assert density_coverage(many, few, 5) is None
    assert vendi(few) is None
    assert kid_null(few, 5, 5, seed=0) is None


def test_features_are_those_before_the_head(train, classifier):
    found = features(train, classifier, batch=7)
    assert found.dtype == torch.float32
    assert found.shape == (len(train), classifier.model.linear.in_features)
    logits = classifier.model.head(found)
    assert torch.allclose(logits.softmax(1), torch.as_tensor(classifier.predict(train)), atol=1e-5)
    assert features(train.images[:0], classifier).shape == (0, found.shape[1])
