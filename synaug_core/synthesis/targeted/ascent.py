"""Bounded ascent in a latent space, a whole batch at once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ascent", "ascend", "median_distance", "move"]

_COMPARED = 512
"""Most images whose distances make up the unit of length."""


@dataclass(frozen=True, eq=False)
class Ascent:
    """Result of an ascent for each row.

    Attributes:
        z: float32 (n, latent).
        before, after: what was climbed, at the start and at `z`, (n,).
        length: ||z - start||, float32 (n,).
    """

    z: Tensor
    before: Tensor
    after: Tensor
    length: Tensor


def ascend(
    start: Tensor, score: Callable[[Tensor], Tensor], *, steps: int, step_size: Tensor | float, radius: Tensor | float
) -> Ascent:
    """Projected normalised gradient ascent: z <- Proj(z + eta g / ||g||) onto ||z - start|| <= radius.

    Every row climbs by itself: its gradient is normalised and projected alone, so a batch gives what its rows give
    one by one. Of the points passed, the start included, the highest one is kept: steps of one length cannot settle
    on a maximum, and the last one may well lie below it. A row whose gradient is zero or not finite stays.

    Args:
        start: float32 (n, latent).
        score: (n, latent) to (n,), each row's from that row alone; differentiable.
        steps: number of steps; 0 gives the start.
        step_size: eta, one for all or one for each row (n,).
        radius: likewise.
    """
    n = len(start)
    eta, rho = (
        torch.as_tensor(v, dtype=start.dtype, device=start.device).expand(n)[:, None] for v in (step_size, radius)
    )
    z = best_z = start.detach()
    with torch.set_grad_enabled(steps > 0):
        for step in range(steps + 1):
            moving = step < steps
            z = z.detach().requires_grad_(moving)
            with torch.set_grad_enabled(moving):
                height = score(z)
            now = height.detach()
            if step == 0:
                before = after = now
            else:
                higher = now > after
                best_z, after = torch.where(higher[:, None], z.detach(), best_z), torch.where(higher, now, after)
            if moving:
                (gradient,) = torch.autograd.grad(height.sum(), z)
                z = _projected(z.detach() + eta * _direction(gradient), start, rho)
    return Ascent(best_z, before, after, (best_z - start).norm(dim=1))


def move(start: Tensor, direction: Tensor, length: Tensor) -> Tensor:
    """Move each row of `start` by `length` (n,) along its row of `direction`."""
    return start + length[:, None] * _direction(direction)


def median_distance(latents: Tensor) -> float:
    """Median distance between two of a class's latents (n, latent), of the first 512: the unit of step lengths.

    Where there is one only, or all are equal, it is the median norm, and where that is 0, 1.
    """
    some = latents[:_COMPARED].double()
    upper = torch.triu_indices(len(some), len(some), 1, device=some.device)
    between = torch.cdist(some, some, compute_mode="donot_use_mm_for_euclid_dist")[upper[0], upper[1]]
    for lengths in (between, some.norm(dim=1)):
        if len(lengths) and (median := float(lengths.median())) > 0:
            return median
    return 1.0


def _direction(vectors: Tensor) -> Tensor:
    """Rows of length 1; rows that are zero or not finite become 0."""
    norm = torch.linalg.vector_norm(vectors.double(), dim=1, keepdim=True)
    usable = norm.isfinite() & (norm > 0)
    return torch.where(usable, vectors.double() / torch.where(usable, norm, 1.0), 0.0).to(vectors)


def _projected(z: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    away = z - centre
    norm = torch.linalg.vector_norm(away, dim=1, keepdim=True)
    return torch.where(norm > radius, centre + away * (radius / norm.clamp_min(torch.finfo(z.dtype).tiny)), z)
