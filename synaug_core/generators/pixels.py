"""Between uint8 pixels and float32 in [0, 1], and work in chunks of one fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CHUNK", "in_chunks", "to_float", "to_uint8"]

CHUNK = 64
"""Rows computed at once. Kernels may differ with the batch size; with one size only, an image's bytes do not
depend on how many are asked for."""


def to_float(images: Tensor) -> Tensor:
    """uint8 (n, c, h, w) to float32 in [0, 1], laid out with channels last, which CPU convolutions prefer."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 255)


def to_uint8(images: Tensor) -> Tensor:
    """float32 in [0, 1] to uint8, rounded, contiguous, on the CPU."""
    return images.clamp(0, 1).mul(255).round_().to(torch.uint8).contiguous().cpu()


def in_chunks(rows: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    """`work` on CHUNK rows at a time, the last ones filled up with zeros, and the results put together."""
    return torch.cat(list(_worked(rows, work)))


def _worked(rows: Tensor, work: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    for chunk in torch.split(rows, CHUNK):
        missing = CHUNK - len(chunk)
        filled = F.pad(chunk, [0, 0] * (rows.ndim - 1) + [0, missing]) if missing else chunk
        yield work(filled)[: len(chunk)]
