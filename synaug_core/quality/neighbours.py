"""Copying: how near are images to the training images, beside other images that ought to be as near?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core.data.imageset import ImageSet
from synaug_core.quality.distances import find_nearest, spacing
from synaug_core.quality.features import Points

__all__ = [
    "Copying",
    "Training",
    "copying_z",
    "find_nearest_training_image",
    "find_similar_training_image",
    "measure_copying",
    "measure_nearness",
]


@dataclass(frozen=True, eq=False)
class Training:
    """The training images of a class, as pixels or as features.

    Attributes:
        points: uint8 (n, c, h, w) or features (n, d).
        own: distance of each to its nearest other one, float64 (n,); empty where n < 2.
        unit: see `distances.spacing`.
    """

    points: Tensor
    own: Tensor
    unit: float

    @classmethod
    def from_points(cls, points: Tensor) -> Training:
        """Measure training images once for all sets that are compared with them."""
        return cls(points, find_nearest(points, points, same=True)[0].flatten(), spacing(points))

    def find_nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Distances float64 and positions int64, (m, min(2, n)) each, of the two nearest training images."""
        return find_nearest(images, self.points, k=2)


@dataclass(frozen=True)
class Copying:
    """How near images are to the training images of their class.

    Attributes:
        images: number of images.
        training: number of training images.
        distance: median distance to the nearest training image, over the training images' own spacing (see
            `distances.spacing`): near 0 copies, about 1 as far as another real image. None where that spacing is 0.
        ratio: median of the distance to the nearest over that to the second nearest training image, in [0, 1]; small
            where images keep to one training image each. None with one training image.
        authentic: share that is farther from the nearest training image than that one is from its own nearest (Alaa et
            al., 2022), in [0, 1]. None with one training image.
    """

    images: int
    training: int
    distance: float | None
    ratio: float | None
    authentic: float | None


def measure_copying(near: tuple[Tensor, Tensor], training: Training) -> Copying | None:
    """Measure copying from `training.find_nearest(images)`; None without images or training images."""
    distance, index = near
    images, n = len(distance), len(training.points)
    if not images or not n:
        return None
    first = distance[:, 0]
    relative = float(first.median()) / training.unit if training.unit > 0 else None
    if n < 2:
        return Copying(images, n, relative, None, None)
    second = distance[:, 1]
    ratio = torch.where(second > 0, first / second.clamp(min=torch.finfo(torch.float64).tiny), 1.0)
    authentic = (first > training.own[index[:, 0]]).double().mean()
    return Copying(images, n, relative, float(ratio.median()), float(authentic))


def measure_nearness(distance: Tensor, reference: Tensor) -> float | None:
    """Chance that an image is nearer to its nearest training image than one of the others is to its own, in [0, 1].

    Half means no difference; with reconstructions as the others, above half means memorised more than what starts
    from training images has to be. Ties count half.

    Args:
        distance: of the images to their nearest training images, (n,).
        reference: the same of the others, (m,).

    Returns:
        None where a set is empty.
    """
    if not len(distance) or not len(reference):
        return None
    ordered, distances = reference.sort().values, distance.contiguous()
    lower_ranks, upper_ranks = (
        torch.searchsorted(ordered, distances),
        torch.searchsorted(ordered, distances, right=True),
    )
    return float((2 * len(reference) - lower_ranks - upper_ranks).double().mean()) / (2 * len(reference))


def copying_z(distance: Tensor, held_out: Tensor) -> float | None:
    """C_T of Meehan et al. (2020) with one cell: the Mann-Whitney z of the images' distances to their nearest training
    images (n,) against those of held-out real images (m,). Below about -2 the images copy; above 2 they keep away.

    None where a set is empty.
    """
    share = measure_nearness(distance, held_out)
    if share is None:
        return None
    n, m = len(distance), len(held_out)
    return (0.5 - share) * n * m / math.sqrt(n * m * (n + m + 1) / 12)


def find_nearest_training_image(images: ImageSet, train: ImageSet) -> tuple[Tensor, Tensor]:
    """For each image the position in `train` of the nearest one of its class, and the distance to it: whether it is a
    copy, which is a matter of pixels.

    Returns:
        int64 (n,), -1 where the class has no training image, and float64 (n,), root mean square over pixels in
        [0, 1], NaN there.
    """
    return _nearest_of_class(images, train, lambda part: part.images)


def find_similar_training_image(images: ImageSet, train: ImageSet, points_of: Points, *, most: int) -> Tensor:
    """For the first `most` images of each class the position in `train` of the one of its class that shows most the
    same: the nearest in these features. Int64 (n,), -1 for the other images and where the class has none."""
    shown = torch.cat([images.rows_of(name)[:most] for name in images.classes])
    position = torch.full((len(images),), -1, dtype=torch.int64)
    position[shown] = _nearest_of_class(images.take(shown), train, points_of)[0]
    return position


def _nearest_of_class(
    images: ImageSet, train: ImageSet, points_of: Callable[[ImageSet], Tensor]
) -> tuple[Tensor, Tensor]:
    index = torch.full((len(images),), -1, dtype=torch.int64)
    distance = torch.full((len(images),), torch.nan, dtype=torch.float64)
    for label in torch.bincount(images.labels).nonzero().flatten().tolist():
        rows = (images.labels == label).nonzero().flatten()
        class_rows = (train.labels == label).nonzero().flatten()
        if len(class_rows):
            distances, position = find_nearest(points_of(images.take(rows)), points_of(train.take(class_rows)))
            distance[rows], index[rows] = distances[:, 0], class_rows[position[:, 0]]
    return index, distance
