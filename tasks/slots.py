"""Who may use a device now, and with how many threads."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filelock import FileLock
from prefect.concurrency.sync import concurrency

from synaug_core import devices
from synaug_core.config import ComputeConfig
from synaug_core.names import slug
from synaug_core.services.settings import settings

if TYPE_CHECKING:
    import torch

__all__ = ["device_slot", "gpu_limit_name"]


def gpu_limit_name(host: str | None = None) -> str:
    """Name of the Prefect concurrency limit that guards one machine's GPU."""
    return f"gpu:{slug(host or socket.gethostname()).lower()}"


@contextlib.contextmanager
def device_slot(compute: ComputeConfig) -> Iterator[torch.device]:
    """The device, with this step's share of CPU threads; on a GPU, after waiting for its slot.

    A lock file keeps the processes of one machine apart, with or without a server; the server's limit, where one
    was created, is what its UI shows and an administrator changes.
    """
    device = devices.resolve(compute.device)
    with contextlib.ExitStack() as held:
        held.enter_context(devices.cpu_threads(compute.threads))
        if device.type == "cuda":
            locks = settings().home / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(locks / f"{slug(str(device))}.lock"))
            held.enter_context(concurrency(gpu_limit_name(), strict=False, lease_duration=60))
        yield device
