"""Images mixed with others of the batch, across classes, and the shares of their labels: mixup and CutMix.

Within a class, `synthesis.strategy: mixup` makes images of this kind before the training; here they are made of the
images of each batch, and a mixture belongs to both classes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core.classify.augment import rectangles
from synaug_core.config.arms import Mixing

__all__ = ["Targets", "mix"]


@dataclass(frozen=True)
class Targets:
    """Which classes the images of a batch are to be taken for.

    Attributes:
        labels: int64 (n,).
        weights: float (n,), of the images in the loss; None: all alike.
        mixed_in: targets of what was mixed into the images; their weights are a mixture's share of them.
        shares: float (n, classes) in place of the labels, where images belong to several classes.
    """

    labels: Tensor
    weights: Tensor | None = None
    mixed_in: "Targets | None" = None
    shares: Tensor | None = None

    def extended(self, labels: Tensor, weight: float) -> "Targets":
        """These, and those of further images of one class each."""
        own = torch.ones(len(self.labels), device=labels.device) if self.weights is None else self.weights
        return Targets(
            torch.cat([self.labels, labels]),
            torch.cat([own, torch.full((len(labels),), weight, device=labels.device)]),
            None if self.mixed_in is None else self.mixed_in.extended(labels, 0.0),
            None
            if self.shares is None
            else torch.cat([self.shares, F.one_hot(labels, self.shares.shape[1]).to(self.shares)]),
        )

    def parts(self) -> "tuple[Targets, ...]":
        """These targets, and those of what was mixed in."""
        return (self,) if self.mixed_in is None else (self, *self.mixed_in.parts())


def mix(
    images: Tensor,
    targets: Targets,
    kind: Mixing,
    probability: float,
    stream: torch.Generator,
) -> tuple[Tensor, Targets]:
    """Mix a random share of the images of a batch with others of the same batch.

    `mixup`: `x = share x1 + (1 - share) x2` and labels in the same shares (Zhang et al., arXiv 1710.09412). `cutmix`: a
    rectangle comes from the other image, and the shares are those of the areas (Yun et al., arXiv 1905.04899). Shares
    are uniform in [0, 1], as in the latter. The partners are the batch in another order, so that they are drawn as the
    arm draws: class by class where it is balanced.

    Args:
        images: float (n, c, h, w).
        targets: of the images, not yet mixed.
        kind: how.
        probability: share of the images that are mixed.
        stream: of the images' device.

    Returns:
        Images of the same shape, and their targets; the shares of an image's two labels add up to its share before,
        where both images weigh the same.
    """
    n = len(images)
    if kind == "none" or not (count := round(probability * n)):
        return images, targets
    u = torch.rand(5, n, device=images.device, generator=stream)
    partner = u[0].argsort()
    is_mixed = torch.zeros(n, dtype=torch.bool, device=images.device).index_fill(0, u[1].argsort()[:count], True)
    share = torch.where(is_mixed, u[2], 1.0)
    if kind == "mixup":
        mixed = torch.lerp(images[partner], images, share.view(n, 1, 1, 1))
    else:
        side = (1 - share).sqrt()
        inside = rectangles(images, torch.stack([side, side]), u[3:5])
        mixed = torch.where(inside, images[partner], images)
        share = 1 - inside.float().mean(dim=(1, 2, 3))
    weights = torch.ones_like(share) if targets.weights is None else targets.weights
    of_partner = None if targets.shares is None else targets.shares[partner]
    mixed_in = Targets(targets.labels[partner], (1 - share) * weights[partner], shares=of_partner)
    return mixed, Targets(targets.labels, share * weights, mixed_in, targets.shares)
