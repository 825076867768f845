"""Latent vectors of training images: ends, partners and the paths between them."""

import torch
from torch import Tensor

from synaug_core.config.synthesis import AlphaMode, Ends, LatentPath
from synaug_core.generators import randoms
from synaug_core.seeds import derive

__all__ = ["alphas", "ends", "find_nearest", "partners", "walk"]

_PARALLEL = 1e-6
"""Below this sine of their angle two vectors count as parallel, and the way between them as straight."""


def ends(mean: Tensor, log_variance: Tensor, kind: Ends, seed: int) -> Tensor:
    """Posterior means (n, latent), or a sample of each posterior."""
    if kind == "mean":
        return mean
    noise = randoms.normal(len(mean), mean.shape[1], seed).to(mean.device)
    return mean + torch.exp(0.5 * log_variance) * noise


def find_nearest(mean: Tensor, k: int) -> Tensor:
    """Positions of each row's k nearest other rows (Euclidean), nearest first, int64 (n, min(k, n - 1))."""
    precise = mean.double()
    distance = torch.cdist(precise, precise, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    return distance.sort(dim=1, stable=True).indices[:, : min(k, len(mean) - 1)]


def partners(first: Tensor, count: int, neighbours: Tensor | None, seed: int) -> Tensor:
    """For each position in `first` another one below `count`, at random: any, or one of its `neighbours`' row.

    Where there is one image only, it is its own partner.
    """
    if count == 1:
        return first.clone()
    share = randoms.uniform(len(first), 1, seed)[:, 0]
    if neighbours is None:
        return (first + 1 + (share * (count - 1)).long()) % count
    return neighbours[first, (share * neighbours.shape[1]).long()]


def alphas(n: int, values: tuple[float, ...], mode: AlphaMode, seed: int) -> Tensor:
    """Where between its two ends each image lies, float64 (n,): drawn from an interval, or the values in turn."""
    if mode == "grid":
        return torch.tensor(values, dtype=torch.float64)[torch.arange(n) % len(values)]
    low, high = values
    return low + (high - low) * randoms.uniform(n, 1, derive(seed, "alpha"))[:, 0]


def walk(start: Tensor, end: Tensor, alpha: Tensor, path: LatentPath) -> Tensor:
    """The point at share `alpha` (n,) of the way from `start` to `end`, both (n, latent).

    `linear` is (1 - a) start + a end. `spherical` goes along the great circle between the directions
    (Shoemake, 1985), so that the middle of two far ends is as far from the origin as they are; between
    parallel ends, or from the origin, there is no such circle and it goes straight. At a = 0 and a = 1 both
    give the ends exactly.
    """
    a, z1, z2 = alpha.to(start.device)[:, None].double(), start.double(), end.double()
    straight = (1 - a) * z1 + a * z2
    if path == "linear":
        return straight.to(start)
    lengths = z1.norm(dim=1, keepdim=True) * z2.norm(dim=1, keepdim=True)
    cosine = (z1 * z2).sum(1, keepdim=True) / lengths
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    arc = (torch.sin((1 - a) * angle) * z1 + torch.sin(a * angle) * z2) / sine
    undefined = (lengths == 0) | (sine < _PARALLEL)
    return torch.where(undefined | (a == 0) | (a == 1), straight, arc).to(start)
