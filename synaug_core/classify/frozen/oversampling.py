"""New points of rare classes among the features of a frozen backbone: what other images of the class might have."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from synaug_core import seeds
from synaug_core.config import OversamplingConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.synthesis.plan import frequent_classes, plan

__all__ = ["Points", "make_points", "plan_points"]

_NEAREST = 10
"""Among so many images nearest to one of the class, those of other classes are its enemies (as in EOS)."""


@dataclass(frozen=True, eq=False)
class Points:
    """Training images and, after them, points that are to be made.

    Attributes:
        labels: int64 (n + m,).
        classes: class names.
        images: n.
        synthetic: bool (n + m,): the images that were made, and all points.
        image_shares: of the classes in the images' labels, float (n, classes), where images belong to several.
    """

    labels: Tensor
    classes: tuple[str, ...]
    images: int
    synthetic: Tensor
    image_shares: Tensor | None = None

    def label_shares(self) -> Tensor | None:
        """Those of the images, and each point's one class; None where all belong to one."""
        if self.image_shares is None:
            return None
        one_hot = torch.nn.functional.one_hot(self.labels[self.images :], len(self.classes))
        return torch.cat([self.image_shares, one_hot.to(self.image_shares)])

    def is_synthetic(self) -> Tensor:
        """`synthetic`."""
        return self.synthetic


def plan_points(train: ImageSet, config: OversamplingConfig | None) -> Points:
    """The images and as many points of each class as the plan asks for; none of a class without real images.

    Raises:
        ConfigError: as `plan`.
    """
    is_made = train.is_synthetic()
    labels = train.labels[:0]
    if config is not None:
        real = torch.bincount(train.labels[~is_made], minlength=len(train.classes)).tolist()
        planned = plan(train.counts(), config.sampling_strategy, config.multiple)
        counts = torch.tensor([planned[name] if n else 0 for name, n in zip(train.classes, real, strict=True)])
        labels = torch.arange(len(train.classes)).repeat_interleave(counts)
    return Points(
        torch.cat([train.labels, labels]),
        train.classes,
        len(train),
        torch.cat([is_made, torch.ones(len(labels), dtype=torch.bool)]),
        train.label_shares(),
    )


def make_points(features: Tensor, points: Points, config: OversamplingConfig, seed: int) -> Tensor:
    """The features and, after them, those of the points, by the real images alone.

    `shared_covariance`: mu_c + s (x - mu_k), x an image of a frequent class k (`plan.frequent_classes`, each as often
    as any other): the covariance within classes that linear discriminant analysis shares, sampled by the images
    themselves. `own_covariance`: the same with the class's own, mu_c + s sum_i g_i (x_i - mu_c) / sqrt(n - 1) with
    normal g. `interpolation`: x1 + u s (x2 - x1), two images of the class. `eos`: x + u s (e - x), e an image of
    another class among the 10 images nearest to x (where there is none, the nearest of another class). s is
    `config.spread`, u uniform in [0, 1). A class of one image has its own image everywhere under `own_covariance` and
    `interpolation`.

    Args:
        features: float64 (n, d), on one scale.
        points: n images and m points.
        config: how.
        seed: the draws depend on this and the class's name: other features of the same images, such as those of their
            augmented views, get the same draws.

    Returns:
        float64 (n + m, d).

    Raises:
        DataError: `shared_covariance`, and no other class has two images.
    """
    real = ~points.synthetic[: points.images]
    image_labels, point_labels = points.labels[: points.images], points.labels[points.images :]
    rows = {name: (real & (image_labels == label)).nonzero().flatten() for label, name in enumerate(points.classes)}
    parts = [features]
    for label, name in enumerate(points.classes):
        if n := int((point_labels == label).sum()):
            stream = seeds.stream(seeds.derive(seed, name))
            parts.append(_METHODS[config.method](features, rows, name, n, config.spread, stream))
    return torch.cat(parts)


def _shared_covariance(
    features: Tensor, rows: dict[str, Tensor], name: str, n: int, spread: float, stream: torch.Generator
) -> Tensor:
    donors = frequent_classes(name, {rival: len(images) for rival, images in rows.items()})
    residuals = [features[rows[k]] - features[rows[k]].mean(0) for k in donors]
    share = torch.rand(n, 2, generator=stream, dtype=torch.float64)
    counts = torch.tensor([len(part) for part in residuals])
    classes = (share[:, 0] * len(counts)).long()
    position = (counts.cumsum(0) - counts)[classes] + (share[:, 1] * counts[classes]).long()
    return features[rows[name]].mean(0) + spread * torch.cat(residuals)[position.to(features.device)]


def _own_covariance(
    features: Tensor, rows: dict[str, Tensor], name: str, n: int, spread: float, stream: torch.Generator
) -> Tensor:
    own = features[rows[name]]
    normal = torch.randn(n, len(own), generator=stream, dtype=torch.float64).to(own)
    return own.mean(0) + spread * (normal @ (own - own.mean(0))) / math.sqrt(max(1, len(own) - 1))


def _interpolation(
    features: Tensor, rows: dict[str, Tensor], name: str, n: int, spread: float, stream: torch.Generator
) -> Tensor:
    own = features[rows[name]]
    share = torch.rand(n, 3, generator=stream, dtype=torch.float64)
    first = (share[:, 0] * len(own)).long()
    second = (first + 1 + (share[:, 1] * (len(own) - 1)).long()) % len(own)
    return torch.lerp(own[first], own[second], spread * share[:, 2:].to(own))


def _eos(
    features: Tensor, rows: dict[str, Tensor], name: str, n: int, spread: float, stream: torch.Generator
) -> Tensor:
    own = features[rows[name]]
    enemy_rows = torch.cat([images for rival, images in rows.items() if rival != name])
    if not len(enemy_rows):
        return own[torch.zeros(n, dtype=torch.int64)]
    distance = torch.cdist(own, features[enemy_rows]).cpu()
    among_own = torch.cdist(own, own).fill_diagonal_(torch.inf).cpu()
    nearest = distance.sort(dim=1, stable=True)
    closer_own = (among_own[:, None, :] < nearest.values[:, :_NEAREST, None]).sum(2)
    rank = torch.arange(closer_own.shape[1]) + closer_own
    enemies = (rank < _NEAREST).sum(1).clamp(min=1)
    share = torch.rand(n, 3, generator=stream, dtype=torch.float64)
    first = (share[:, 0] * len(own)).long()
    towards = enemy_rows[nearest.indices[first, (share[:, 1] * enemies[first]).long()]]
    return torch.lerp(own[first], features[towards], spread * share[:, 2:].to(own))


_METHODS = {
    "shared_covariance": _shared_covariance,
    "eos": _eos,
    "own_covariance": _own_covariance,
    "interpolation": _interpolation,
}
