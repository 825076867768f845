"""Which device computes, and how many CPU threads a task may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from synaug_core.errors import ConfigError
from synaug_core.vocabulary import Precision

if TYPE_CHECKING:
    import torch

__all__ = ["autocast", "cpu_threads", "resolve", "resolve_precision"]


def resolve(name: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU.

    Raises:
        ConfigError: a named device that this machine lacks.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"compute.device: {name!r} is no device; use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):  # mps, xla, meta: nothing here was ever tried on them
        raise ConfigError(f"compute.device: {name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count() > 0:
        raise ConfigError(f"compute.device: {name!r} was asked for, and this machine has {torch.cuda.device_count()}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"compute.device: {name!r} was asked for, and this machine has no usable GPU")
    return device


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and on a CPU with instructions for it (AMX, AVX512-BF16); on others it is slower than
    float32, which `auto` is there. The variable ONEDNN_MAX_CPU_ISA can take the instructions away."""
    import torch

    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16
    has_instructions = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if device.type == "cpu" and has_instructions and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Within the block, matrix products and convolutions compute in `dtype`; weights stay as they are."""
    import torch

    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Limit torch to `count` CPU threads in the calling thread.

    The number of threads changes the order of sums, so a fixed number is also what makes results repeat.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
