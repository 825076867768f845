"""Equal and nearly equal images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DuplicateGraph", "connected", "exact_groups", "find_duplicates", "near_pairs", "perceptual_hash"]

_CHUNK = 4096
"""Images or candidate pairs worked on at once."""
_BLOCK = 1024
"""Images compared with as many at once."""
_DENSE = 1 / 200
"""Share of a block's pairs from which one matrix product is cheaper than each pair by itself."""
_MARGIN = 1e-4
"""Correlations computed in float32 that lie this near to the limit are computed again."""


@dataclass(frozen=True)
class DuplicateGraph:
    """Which images are equal, and which nearly equal.

    Attributes:
        owner: int64 (n,), for each image the number of its set of equal images, numbered in order of appearance.
        near: int64 (m, 2), pairs of such numbers whose images are nearly equal, each pair once.
    """

    owner: NDArray[np.int64]
    near: NDArray[np.int64]

    def clusters(self) -> NDArray[np.int64]:
        """int64 (n,): images that are linked by equality or near-equality, at any remove, share a number."""
        sets = int(self.owner.max()) + 1 if len(self.owner) else 0
        return connected(sets, self.near)[self.owner]


def find_duplicates(
    thumbnails: NDArray[np.uint8], digests: Sequence[str], distance: int, correlation: float
) -> DuplicateGraph:
    """Equal images by `digests`, nearly equal ones as `near_pairs` (none for `distance` -1).

    Args:
        thumbnails: uint8, (n, 32, 32), grey.
        digests: n digests of the full pixels.
        distance: largest Hamming distance of the 64-bit hashes.
        correlation: smallest correlation of the thumbnails.
    """
    owner = exact_groups(digests)
    _, first = np.unique(owner, return_index=True)
    near = near_pairs(thumbnails[first], distance, correlation) if distance >= 0 else np.empty((0, 2), np.int64)
    return DuplicateGraph(owner, near)


def exact_groups(digests: Sequence[str]) -> NDArray[np.int64]:
    """int64 (n,): equal digests share a number, in order of first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(d, len(numbers)) for d in digests], dtype=np.int64)


def perceptual_hash(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The 64-bit DCT hash of each thumbnail, the same bits as `imagehash.phash` (N. Krawetz, "Looks like it", 2011).

    Args:
        thumbnails: uint8, (n, 32, 32), grey.

    Returns:
        uint64 (n,): which of the 8 x 8 lowest DCT coefficients exceed their median, row by row, highest bit first.
    """
    from scipy.fft import dct

    hashes = np.empty(len(thumbnails), dtype=np.uint64)
    for start in range(0, len(thumbnails), _CHUNK):
        low = dct(thumbnails[start : start + _CHUNK].astype(np.float64), axis=1)[:, :8]
        low = dct(low, axis=2)[:, :, :8].reshape(-1, 64)
        bits = low > np.median(low, axis=1, keepdims=True)
        hashes[start : start + _CHUNK] = np.packbits(bits, axis=1).view(">u8")[:, 0]
    return hashes


def near_pairs(thumbnails: NDArray[np.uint8], distance: int, correlation: float) -> NDArray[np.int64]:
    """Pairs of nearly equal images: their hashes differ in at most `distance` bits, and what sets their thumbnails
    apart from the mean thumbnail of all other images correlates at least `correlation`.

    Without taking off the mean, images of one kind (fundus discs on black, say) correlate above 0.98 though they
    show different things. Brightness and contrast do not matter; mirrored and rotated copies are not found.

    Images are compared in square blocks, so that memory does not grow with their number. Where many pairs of a block
    have like hashes, as with one part under one camera, one matrix product settles all but those on the verge.

    Args:
        thumbnails: uint8, (n, 32, 32), grey.
        distance: 0 to 64.
        correlation: in [0, 1].

    Returns:
        int64 (m, 2), i < j, in ascending order.
    """
    hashes = perceptual_hash(thumbnails)
    faces = _Faces.from_thumbnails(thumbnails)
    pairs = [np.empty((0, 2), np.int64)]
    for top in range(0, len(hashes), _BLOCK):
        for left in range(top, len(hashes), _BLOCK):
            rows, columns = slice(top, top + _BLOCK), slice(left, left + _BLOCK)
            is_open = np.bitwise_count(hashes[rows, None] ^ hashes[None, columns]) <= distance
            if left == top:
                is_open = np.triu(is_open, 1)
            if is_open.mean() > _DENSE:
                estimate = faces.correlate_blocks(rows, columns)
                pairs.append(np.argwhere(is_open & (estimate > correlation + _MARGIN)) + np.array([top, left]))
                is_open &= np.abs(estimate - correlation) <= _MARGIN
            i, j = np.nonzero(is_open)
            for part in range(0, len(i), _CHUNK):
                a, b = i[part : part + _CHUNK] + top, j[part : part + _CHUNK] + left
                is_near = faces.correlate(a, b) >= correlation
                pairs.append(np.stack([a[is_near], b[is_near]], axis=1))
    joined = np.concatenate(pairs)
    return joined[np.lexsort((joined[:, 1], joined[:, 0]))]


def connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (count,): the number of each node's connected component in the graph with the edges `pairs` (m, 2)."""
    if not len(pairs):
        return np.arange(count)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


@dataclass(frozen=True)
class _Faces:
    """Thumbnails as rows of mean 0 and norm 1, with what sets each apart from the mean of all of them.

    With a' = a - mu, mu the mean of all n rows, the mean of all rows but a and b is m = mu - k (a' + b'),
    k = 1 / (n - 2), so that a - m = (1 + k) a' + k b': three inner products of a pair say how its two correlate, and
    no m is formed. Of two images or fewer, nothing is taken off.

    Attributes:
        apart: float32 (n, d), the rows a'.
        squares: float64 (n,), a' a'.
        is_flat: bool (n,), without contrast: they correlate with nothing.
    """

    apart: NDArray[np.float32]
    squares: NDArray[np.float64]
    is_flat: NDArray[np.bool_]

    @classmethod
    def from_thumbnails(cls, thumbnails: NDArray[np.uint8]) -> "_Faces":
        pixels = np.prod(thumbnails.shape[1:], dtype=int)
        faces = np.array(thumbnails.reshape(len(thumbnails), pixels), dtype=np.float32)
        faces -= faces.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(faces, axis=1, keepdims=True)
        faces /= np.maximum(norms, 1e-6)
        is_flat = norms[:, 0] < 1e-2
        faces[is_flat] = 0
        if len(faces) > 2:
            faces -= faces.mean(axis=0, dtype=np.float64)
        squares = [np.square(faces[n : n + _CHUNK], dtype=np.float64).sum(axis=1) for n in range(0, len(faces), _CHUNK)]
        return cls(faces, np.concatenate([np.empty(0), *squares]), is_flat)

    def correlate(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of pairs of rows, (m,), computed in float64."""
        product = np.einsum("nd,nd->n", self.apart[i], self.apart[j], dtype=np.float64)
        return self._correlation(product, self.squares[i], self.squares[j], self.is_flat[i] | self.is_flat[j])

    def correlate_blocks(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Of all rows of one block with all of another, from one matrix product in float32."""
        product = (self.apart[rows] @ self.apart[columns].T).astype(np.float64)
        is_flat = self.is_flat[rows, None] | self.is_flat[None, columns]
        return self._correlation(product, self.squares[rows, None], self.squares[None, columns], is_flat)

    def _correlation(
        self,
        product: NDArray[np.float64],
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        is_flat: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        k = 1.0 / (len(self.apart) - 2) if len(self.apart) > 2 else 0.0
        shared = k * (1 + k) * (a + b) + ((1 + k) ** 2 + k * k) * product
        cross = 2 * k * (1 + k) * product
        norms = ((1 + k) ** 2 * a + cross + k * k * b) * (k * k * a + cross + (1 + k) ** 2 * b)
        is_usable = ~is_flat & (norms > 1e-12)
        return np.where(is_usable, shared / np.sqrt(np.where(is_usable, norms, 1.0)), 0.0)
