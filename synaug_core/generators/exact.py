"""Computing that repeats: float32 proper, and the same kernels each time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["exact"]


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """On a GPU: deterministic convolutions, chosen without a timing, and without TF32. On a CPU: nothing to do."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
