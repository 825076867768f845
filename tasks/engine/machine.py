"""What this machine can do side by side."""

import os

from synaug_core.config import ComputeConfig

__all__ = ["worker_count"]


def worker_count(compute: ComputeConfig) -> int:
    """Steps side by side: as configured, else one for each GPU, else one per CPU core that this process may use."""
    if compute.workers is not None:
        return compute.workers
    from synaug_core import devices

    if (device := devices.resolve(compute.device)).type == "cuda":
        return 1 if device.index is not None else _gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // compute.threads)


def _gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())
