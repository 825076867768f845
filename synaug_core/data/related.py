"""Images that are probably views of one thing: exposures in other light, frames of a film, patches of a picture.

Near-duplicates (`duplicates`) are removed; related images only stay together, so this rule may be looser. It is
relative, because in a set of cells or digits all images are alike: two images are related where they are far nearer
than either is to the images around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "Space", "feature_space", "join_nearest", "pixel_space", "related_pairs"]

FEWEST = 48
"""Images below which nothing is typical, and none are related."""
_SIDE = 16
"""Of the thumbnails that are compared, pixels."""
_PER_COMPONENT = 6
"""Images for each principal component. With more components groups of several images fall apart, since what differs
within them becomes a component of its own."""
_PIXEL_COMPONENTS, _FEATURE_COMPONENTS = 200, 400
"""Most principal components; with more of them other images are more evenly far, and the limits may be wider."""
_RANK = 30
"""The neighbour whose distance is typical; as many images can be related to one."""
_PRODUCT, _ALONE, _SHRINKING = 0.45, 0.4, 0.25
"""Limit of the product of both relative distances, limit where there are no features, and the power of the share of
components by which either shrinks. Chosen by eye on the pairs of eight sets of 341 to 8,000 images, and on made ones.
"""
_MOST_BY_FEATURES = 0.95
"""Limit of the relative distance by features, so that a common border or background is not enough."""
_FLAT = 1e-2
"""Norm of a thumbnail without contrast."""
_AT_ONCE = 2**24
"""Distances in memory together."""


@dataclass(frozen=True)
class Space:
    """Images as directions: how far two of them are from each other, of sqrt(2), says how unlike they are.

    Attributes:
        points: float32 (n, components), rows of norm 1; of norm 0 for images without contrast, which nothing is near.
        typical: float32 (n,), distance of each to its 30th neighbour.
    """

    points: NDArray[np.float32]
    typical: NDArray[np.float32]

    @classmethod
    def whitened(cls, rows: NDArray[np.float32], most: int) -> "Space":
        """The leading principal components, each with the same variance: what many images share (a border, the light
        of a room, the shape of a digit) is one component among many, and images of different things are evenly far.

        Args:
            rows: float32 (n, d); overwritten.
            most: components.
        """
        rows -= rows.mean(axis=0)
        points = _principal_components(rows, min(most, component_count(len(rows))))
        points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
        rank = min(_RANK, len(points) // 2)
        typical = [np.partition(_distances(points, part), rank - 1, axis=1)[:, rank - 1] for part in _parts(points)]
        return cls(points, np.concatenate(typical))

    def relative(self, part: slice) -> NDArray[np.float32]:
        """Distances of some images to all, (m, n), each divided by the smaller typical one of the two; the diagonal is
        infinite."""
        distances = _distances(self.points, part)
        distances /= np.maximum(np.minimum(self.typical[part, None], self.typical[None]), 1e-9)
        return distances


def component_count(images: int) -> int:
    """Principal components of a set of so many images."""
    return images // _PER_COMPONENT


def pixel_space(thumbnails: NDArray[np.uint8]) -> Space:
    """Low frequencies without the light: of logarithms, the plane that fits them best is taken off, and the rest has
    norm 1. Exposure, contrast and a light from the side make little difference.

    Args:
        thumbnails: uint8 (n, 32, 32), grey, n at least `FEWEST`.
    """
    count, cell = len(thumbnails), thumbnails.shape[1] // _SIDE
    logs = np.log(thumbnails.astype(np.float32) + 16)
    rows = logs.reshape(count, _SIDE, cell, _SIDE, cell).mean(axis=(2, 4)).reshape(count, -1)
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    plane = np.linalg.qr(np.stack([np.ones(_SIDE**2), y.ravel(), x.ravel()], axis=1))[0].astype(np.float32)
    rows -= (rows @ plane) @ plane.T
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    space = Space.whitened(rows / np.maximum(norms, _FLAT), _PIXEL_COMPONENTS)
    space.points[norms[:, 0] < _FLAT] = 0
    return space


def feature_space(features: NDArray[np.float32]) -> Space:
    """A frozen network's features, each with mean 0 and deviation 1.

    Args:
        features: float32 (n, d), n at least `FEWEST`; overwritten.
    """
    features -= features.mean(axis=0)
    features /= np.maximum(features.std(axis=0), 1e-3)
    return Space.whitened(features, _FEATURE_COMPONENTS)


def related_pairs(thumbnails: NDArray[np.uint8], features: NDArray[np.float32] | None) -> NDArray[np.int64]:
    """Pairs of images that are probably views of one thing.

    A pair has a relative distance by pixels and one by features. Neither is sure by itself: blurred cells have like
    features, cells in one place have like pixels. Their product is.

    Args:
        thumbnails: uint8 (n, 32, 32), grey.
        features: float32 (n, d) of the same images; overwritten. None: pixels have to do.

    Returns:
        int64 (m, 2), i < j, the nearest first; none of fewer than `FEWEST` images. An image is in at most 60 pairs.
    """
    if len(thumbnails) < FEWEST:
        return np.empty((0, 2), np.int64)
    pixels = pixel_space(thumbnails)
    space = None if features is None else feature_space(features)
    components = min(_PIXEL_COMPONENTS, component_count(len(thumbnails)))
    shrunk = (components / _PIXEL_COMPONENTS) ** _SHRINKING
    pairs, distances = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for part in _parts(thumbnails):
        distance = pixels.relative(part)
        if space is None:
            is_near = distance <= _ALONE * shrunk
        else:
            by_features = space.relative(part)
            distance *= by_features
            is_near = (distance <= _PRODUCT * shrunk) & (by_features <= _MOST_BY_FEATURES)
        i, j = np.nonzero(is_near)
        is_first = i + part.start < j
        i, j = i[is_first], j[is_first]
        pairs.append(np.stack([i + part.start, j], axis=1))
        distances.append(distance[i, j])
    joined = np.concatenate(pairs)
    return joined[np.lexsort((joined[:, 1], joined[:, 0], np.concatenate(distances)))]


def join_nearest(units: NDArray[np.int64], pairs: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Join units by pairs of them, in order, as long as none becomes too large: no chain takes in everything.

    Args:
        units: int64 (n,), the number of each image's unit, from 0.
        pairs: int64 (m, 2), numbers of units.
        most: images of a joined unit.

    Returns:
        int64 (n,), the number of the joined unit: the smallest of its units'.
    """
    sizes = np.bincount(units)
    parent = np.arange(len(sizes))

    def root(unit: int) -> int:
        while parent[unit] != unit:
            parent[unit] = unit = int(parent[parent[unit]])
        return unit

    for one, another in pairs.tolist():
        low, high = sorted((root(one), root(another)))
        if low != high and sizes[low] + sizes[high] <= most:
            parent[high] = low
            sizes[low] += sizes[high]
    return np.array([root(unit) for unit in units.tolist()], dtype=np.int64)


def _principal_components(rows: NDArray[np.float32], components: int) -> NDArray[np.float32]:
    """Coordinates of centred rows, (n, d), along the leading components, each of sum of squares 1."""
    from scipy.linalg import eigh

    count, width = rows.shape
    size = min(count, width)
    components = min(components, size)
    product = rows @ rows.T if count <= width else rows.T @ rows
    values, vectors = eigh(product, subset_by_index=(size - components, size - 1), overwrite_a=True, check_finite=False)
    is_real = values > 1e-6 * values[-1] if len(values) else values > 0
    if count <= width:
        return np.ascontiguousarray(vectors[:, is_real])
    scaled = vectors[:, is_real] / np.sqrt(values[is_real])
    coordinates: NDArray[np.float32] = rows @ scaled.astype(np.float32)
    return coordinates


def _distances(points: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
    """Of some rows of norm 1 to all, float32 (m, n); of each to itself infinite."""
    distances = points[part] @ points.T
    np.multiply(distances, -2, out=distances)
    distances += 2
    np.maximum(distances, 0, out=distances)
    np.sqrt(distances, out=distances)
    own = np.arange(len(distances))
    distances[own, own + part.start] = np.inf
    return distances


def _parts(rows: Sequence[object] | NDArray[np.generic]) -> list[slice]:
    """As many rows at a time as have few enough distances to all."""
    step = max(1, _AT_ONCE // max(1, len(rows)))
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
