"""Which device computes, and how many CPU threads a task may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from synaug_core.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["cpu_threads", "resolve"]


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
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"compute.device: {name!r} was asked for, and this machine has no usable GPU")
    return device


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
