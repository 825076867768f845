"""Equal and nearly equal images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DuplicateGraph", "connected", "exact_groups", "find_duplicates", "near_pairs", "perceptual_hash"]

_CHUNK = 4096
"""Images or candidate pairs worked on at once."""


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


def near_pairs(
    thumbnails: NDArray[np.uint8], distance: int, correlation: float, block: int = 1024
) -> NDArray[np.int64]:
    """Pairs of nearly equal images: their hashes differ in at most `distance` bits, and what sets their thumbnails
    apart from the mean thumbnail of all other images correlates at least `correlation`.

    Without taking off the mean, images of one kind (fundus discs on black, say) correlate above 0.98 though they
    show different things. Brightness and contrast do not matter; mirrored and rotated copies are not found.

    Args:
        thumbnails: uint8, (n, 32, 32), grey.
        distance: 0 to 64.
        correlation: in [0, 1].
        block: rows compared at once; memory is `block` x n.

    Returns:
        int64 (m, 2), i < j.
    """
    hashes = perceptual_hash(thumbnails)
    faces = _unit(thumbnails.reshape(len(thumbnails), -1))
    total = faces.sum(axis=0, dtype=np.float64)
    pairs = []
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block]
        i, j = np.nonzero(np.bitwise_count(rows[:, None] ^ hashes[None, start:]) <= distance)
        i, j = i[j > i] + start, j[j > i] + start
        for part in range(0, len(i), _CHUNK):
            a, b = i[part : part + _CHUNK], j[part : part + _CHUNK]
            close = _apart_from_others(faces, total, a, b) >= correlation
            pairs.append(np.stack([a[close], b[close]], axis=1))
    return np.concatenate(pairs).astype(np.int64) if pairs else np.empty((0, 2), np.int64)


def connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (count,): the number of each node's connected component in the graph with the edges `pairs` (m, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _unit(rows: NDArray[np.generic]) -> NDArray[np.float32]:
    """Each row with mean 0 and norm 1; a flat row becomes 0 and correlates with nothing."""
    faces = np.array(rows, dtype=np.float32)
    faces -= faces.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(faces, axis=1, keepdims=True)
    faces /= np.maximum(norms, 1e-6)
    faces[norms[:, 0] < 1e-2] = 0
    return faces


def _apart_from_others(
    faces: NDArray[np.float32], total: NDArray[np.float64], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correlation of a - m and b - m for pairs of rows, m being the mean of all other rows; 0 where one is flat.

    Written with inner products, so that no m is formed: m = k (total - a - b), k = 1 / (n - 2).
    """
    k = 1.0 / (len(faces) - 2) if len(faces) > 2 else 0.0
    a, b = faces[i].astype(np.float64), faces[j].astype(np.float64)
    aa, bb, ab = ((x * y).sum(axis=1) for x, y in ((a, a), (b, b), (a, b)))
    a_total, b_total = a @ total, b @ total
    am, bm = k * (a_total - aa - ab), k * (b_total - bb - ab)
    mm = k * k * (total @ total + aa + bb + 2 * (ab - a_total - b_total))
    squares = (aa - 2 * am + mm) * (bb - 2 * bm + mm)
    usable = (aa > 0) & (bb > 0) & (squares > 1e-12)
    return np.where(usable, (ab - am - bm + mm) / np.sqrt(np.where(usable, squares, 1.0)), 0.0)
