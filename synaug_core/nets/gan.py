"""A class-conditional generator and its discriminator for small images (Miyato and Koyama, 2018)."""

import itertools
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synaug_core.nets.blocks import as_channels_last, group_norm, halvings, widths

__all__ = ["ConditionalNorm", "Discriminator", "ImageGenerator"]

_SLOPE = 0.2

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


class ConditionalNorm(nn.Module):
    """Group norm whose scale and shift come from a condition: (n, channels, s, s) and (n, condition) to the former.

    Each image is normalised by itself, so that it does not depend on its batch; scale and shift are linear in
    the condition, here the latent vector beside the class's embedding (Brock et al., 2019, without chunks).
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(group_norm(channels).num_groups, channels, affine=False)
        self.turn = nn.Linear(condition, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """See the class."""
        scale, shift = self.turn(condition)[..., None, None].chunk(2, dim=1)
        turned: Tensor = self.norm(x) * (1 + scale) + shift
        return turned


class _Doubling(nn.Module):
    """(n, in, s, s) to (n, out, size, size) with size 2s or 2s - 1: each pixel four times, then a convolution.

    A transposed convolution leaves a lattice here: a young discriminator overlooks it, and it grows (Odena et al.,
    2016). Repeated pixels are all computed alike.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.grow = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = F.interpolate(x, scale_factor=2.0, mode="nearest")
        grown: Tensor = self.grow(enlarged[..., : self.size, : self.size])
        return grown


class ImageGenerator(nn.Module):
    """Latent vectors float32 (n, latent) and classes int64 (n,) to images float32 (n, channels, size, size) in [-1, 1].

    Args:
        classes: number of classes.
        channels: 1 or 3.
        size: side length in pixels, 8 or more; odd ones work.
        width: channels before the last doubling; they double towards the start, up to four times.
        latent_dim: length of a latent vector.
    """

    def __init__(self, classes: int, channels: int, size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        sizes = halvings(size)[::-1]
        wide = widths(width, len(sizes) - 1)[::-1]
        self.side, self.wide, self.latent_dim = sizes[0], wide[0], latent_dim
        self.embedding = nn.Embedding(classes, latent_dim)
        self.head = nn.Linear(2 * latent_dim, self.wide * self.side**2)
        self.norms = nn.ModuleList(ConditionalNorm(c, 2 * latent_dim) for c in wide)
        self.ups = nn.ModuleList(
            _Doubling(in_channels, out_channels, side)
            for in_channels, out_channels, side in zip(wide, (*wide[1:], channels), sizes[1:], strict=True)
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        condition = torch.cat((z, self.embedding(labels)), dim=1)
        x = as_channels_last(self.head(condition), self.wide, self.side)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(F.silu(norm(x, condition)))
        return torch.tanh(x)


class _Halving(nn.Module):
    """(n, in, s, s) to (n, out, ceil(s/2), ceil(s/2)): two convolutions beside a mean of two by two pixels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shrink = _even(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1))
        self.refine = _even(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.short = _even(nn.Conv2d(in_channels, out_channels, 1), slope=1)

    def forward(self, x: Tensor) -> Tensor:
        main = self.refine(F.leaky_relu(self.shrink(F.leaky_relu(x, _SLOPE)), _SLOPE))
        added: Tensor = (main + self.short(F.avg_pool2d(x, 2, ceil_mode=True))) * 0.5**0.5
        return added


class Discriminator(nn.Module):
    """Images float32 (n, channels, size, size) in about [-1, 1] and classes int64 (n,) to scores (n,); more is realer.

    A projection discriminator: the class enters as an inner product with the features (Miyato and Koyama, 2018,
    equation 3). No norm mixes the images of a batch, so that the gradient penalty is each image's own; the first
    weights keep the signal's size from layer to layer (He et al., 2015), so that it judges from the first steps on.
    """

    def __init__(self, classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        sizes = halvings(size)
        wide = widths(width, len(sizes) - 1)
        self.enter = _even(nn.Conv2d(channels, wide[0], 5, stride=2, padding=2), slope=1)
        self.body = nn.Sequential(*(_Halving(a, b) for a, b in itertools.pairwise(wide)))
        self.features = _even(nn.Linear(wide[-1] * sizes[-1] ** 2, wide[-1]))
        self.score = nn.Linear(wide[-1], 1)
        self.embedding = nn.Embedding(classes, wide[-1])
        nn.init.normal_(self.embedding.weight, std=wide[-1] ** -0.5)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        maps = F.leaky_relu(self.body(self.enter(images)), _SLOPE)
        features = F.leaky_relu(self.features(maps.flatten(1)), _SLOPE)
        scores: Tensor = self.score(features)[:, 0] + (self.embedding(labels) * features).sum(1)
        return scores


def _even(layer: _Layer, slope: float = _SLOPE) -> _Layer:
    """Start a layer after a leaky ReLU of this slope so that it gives out signals of the size it takes in."""
    nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
