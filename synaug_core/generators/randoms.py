"""Random rows whose first m do not depend on how many are drawn."""

import torch
from torch import Tensor

from synaug_core.seeds import derive, stream

__all__ = ["cycle", "normal", "uniform"]

_ROWS = 256
"""Rows drawn from one stream. torch's own normal draws of different lengths do not begin alike."""


def normal(n: int, width: int, seed: int) -> Tensor:
    """Standard normal float32 (n, width)."""
    return torch.cat([torch.randn(_ROWS, width, generator=stream(s)) for s in _seeds(n, seed)])[:n]


def uniform(n: int, width: int, seed: int) -> Tensor:
    """Uniform in [0, 1), float64 (n, width)."""
    parts = [torch.rand(_ROWS, width, generator=stream(s), dtype=torch.float64) for s in _seeds(n, seed)]
    return torch.cat(parts)[:n]


def cycle(n: int, length: int, seed: int) -> Tensor:
    """`n` positions below `length`, int64: all of them in a random order, then all in another, and so on."""
    rounds = range(max(1, -(-n // length)))
    return torch.cat([torch.randperm(length, generator=stream(derive(seed, r))) for r in rounds])[:n]


def _seeds(n: int, seed: int) -> list[int]:
    return [derive(seed, block) for block in range(max(1, -(-n // _ROWS)))]
