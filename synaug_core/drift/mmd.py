"""Two sets of features: are they from one distribution?"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MmdTest", "mmd_test", "rank_unusual"]

_AT_ONCE = 256
"""Relabellings in one product: their memory is this times the images."""
_NEIGHBOURS = 5
_TOLERANCE = 1e-9
"""Values closer than this are equal: sums in another order differ by rounding."""
_ROUNDING = 1e-13
"""The same of a squared distance, as a share of the squares that it is the difference of."""


@dataclass(frozen=True)
class MmdTest:
    """A permutation test of the kernel distance.

    Attributes:
        value: unbiased squared distance of the two sets; around 0, also below it, for one distribution.
        null: the same of random relabellings.
        p_value: share of relabellings that are as far apart (up to rounding) or further, the observed one among them.
    """

    value: float
    null: tuple[float, ...]
    p_value: float


def mmd_test(reference: Tensor, recent: Tensor, *, permutations: int, seed: int) -> MmdTest:
    """Unbiased squared maximum mean discrepancy (Gretton et al., JMLR 13, 2012, lemma 6) with a Gaussian kernel whose
    width is the median distance of the pooled images, and its permutation test.

    The width does not depend on who belongs to which set, so that the test is exact: under one distribution the
    p-value is at most a with probability a, whatever the features and the numbers of images. Features are divided by
    their pooled standard deviation first, or a few large ones would decide alone.

    Args:
        reference: features (n, d).
        recent: features (m, d).
        permutations: random relabellings.
        seed: of the relabellings.

    Raises:
        ValueError: fewer than two images on a side, or features of different length or that are no numbers.
    """
    n, m = len(reference), len(recent)
    if min(n, m) < 2 or reference.shape[1:] != recent.shape[1:]:
        raise ValueError("two images on each side are needed, with features of one length")
    features = torch.cat([reference, recent]).double().cpu()
    if not bool(torch.isfinite(features).all()):
        raise ValueError("a feature is no number")
    kernel = _gaussian(features)
    rng = np.random.default_rng(seed)
    is_reference = np.zeros(n + m, dtype=bool)
    is_reference[n:] = True
    value = float(_values(kernel, is_reference[None], m)[0])
    null_values: list[float] = []
    while len(null_values) < permutations:
        count = min(_AT_ONCE, permutations - len(null_values))
        null_values += _values(kernel, rng.permuted(np.tile(is_reference, (count, 1)), axis=1), m).tolist()
    as_far = sum(v >= value - _TOLERANCE for v in null_values)
    return MmdTest(value, tuple(null_values), (1 + as_far) / (1 + permutations))


def rank_unusual(reference: Tensor, recent: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Recent images by how far they are from what is known: the distance to the fifth nearest image of the reference
    (to the last where there are fewer), features divided by the reference's standard deviation.

    Args:
        reference: features (n, d), n > 0. Time grows with n squared.
        recent: features (m, d), m > 0.

    Returns:
        Distances float64 (m,), largest first, positions in `recent` int64 (m,), and whether the distances are
        multiples of what is usual: the median distance of the reference's own images to their fifth nearest. They are
        not where that is 0, as it is where most images of the reference are equal.
    """
    from synaug_core.quality.distances import find_nearest

    scale = _scale(reference.double())
    past, new = reference.double() / scale, recent.double() / scale
    distance = find_nearest(new, past, k=_NEIGHBOURS)[0][:, -1]
    usual_distance = (
        find_nearest(past, past, k=_NEIGHBOURS, same=True)[0][:, -1].median() if len(past) > 1 else torch.tensor(0.0)
    )
    relative = bool(usual_distance > 0)
    ordered = (distance / usual_distance if relative else distance).sort(descending=True, stable=True)
    return ordered.values, ordered.indices, relative


def _gaussian(features: Tensor) -> Tensor:
    """exp(-d^2 / (2 w^2)), w the median distance of different images; float64 (n, n)."""
    x = features / _scale(features)
    squares = (x * x).sum(1)
    norm_sums = squares[:, None] + squares[None, :]
    distance = norm_sums - 2 * (x @ x.T)
    distance[distance <= _ROUNDING * norm_sums] = 0  # or the width for mostly equal images would be made of rounding
    upper = distance[tuple(torch.triu_indices(len(x), len(x), 1))]
    width = float(upper.median()) if len(upper) else 0.0
    if width == 0:  # more than half of the pairs are equal
        positive_distances = upper[upper > 0]
        width = float(positive_distances.median()) if len(positive_distances) else 1.0
    return torch.exp(-distance / (2 * width))


def _scale(features: Tensor) -> Tensor:
    spread = features.std(dim=0, correction=0)
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def _values(kernel: Tensor, recent: NDArray[np.bool_], m: int) -> NDArray[np.float64]:
    """The unbiased squared distance of each of B labellings (B, n + m) with m recent images each."""
    n = len(kernel) - m
    z = torch.from_numpy(recent.T.astype(np.float64))
    sums = kernel @ z
    diagonal = kernel.diagonal()
    of_recent = (z * sums).sum(0)
    cross_sums = ((1 - z) * sums).sum(0)
    of_reference = kernel.sum() - of_recent - 2 * cross_sums
    own_recent = diagonal @ z
    own_reference = diagonal.sum() - own_recent
    values: NDArray[np.float64] = (
        (of_recent - own_recent) / (m * (m - 1))
        + (of_reference - own_reference) / (n * (n - 1))
        - 2 * cross_sums / (n * m)
    ).numpy()
    return values
