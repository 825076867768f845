"""Between uint8 pixels and float32 in [0, 1], and work in chunks of one fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["in_chunks", "to_float", "to_uint8"]

_ON_CPU, _ELSEWHERE = 32, 256
"""Rows computed at once: on a CPU few enough to stay in its caches (measured), elsewhere enough to fill it."""


def to_float(images: Tensor) -> Tensor:
    """uint8 (n, c, h, w) to float32 in [0, 1], laid out with channels last, which CPU convolutions prefer."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 255)


def to_uint8(images: Tensor) -> Tensor:
    """float32 in [0, 1] to uint8, rounded, contiguous, on the CPU."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8).contiguous().cpu()


def in_chunks(rows: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    """`work` on a fixed number of rows at a time, the last ones filled up with zeros, the results put together.

    Kernels may differ with the batch size; with one size only, what a row gives does not depend on how many
    there are.
    """
    return torch.cat(list(_worked(rows, work, _ON_CPU if rows.device.type == "cpu" else _ELSEWHERE)))


def _worked(rows: Tensor, work: Callable[[Tensor], Tensor], size: int) -> Iterator[Tensor]:
    for chunk in torch.split(rows, size):
        missing = size - len(chunk)
        filled = F.pad(chunk, [0, 0] * (rows.ndim - 1) + [0, missing]) if missing else chunk
        yield work(filled)[: len(chunk)]
