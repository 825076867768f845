"""What this machine does side by side: how many steps, and who may use a device now, with how many threads."""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import torch
from filelock import FileLock, Timeout
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from synaug_core import devices
from synaug_core.config import ComputeConfig
from synaug_core.names import slug
from synaug_core.services import places
from synaug_core.services.settings import settings

__all__ = ["device_slot", "gpu_limit_name", "make_limit", "server_slot", "worker_count"]

_LEASE = 60.0
"""Seconds until the server gives a killed process's slot to another."""
_POLL_SECONDS = 0.2


def worker_count(compute: ComputeConfig) -> int:
    """Steps side by side: as configured, else one for each GPU, else one per CPU core that this process may use."""
    if compute.workers is not None:
        return compute.workers
    if (device := devices.resolve(compute.device)).type == "cuda":
        return 1 if device.index is not None else _gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // compute.threads)


@contextlib.contextmanager
def device_slot(compute: ComputeConfig) -> Iterator[torch.device]:
    """The device, with this step's share of CPU threads; on a GPU, after waiting for one that is free.

    Two things keep steps apart. A lock file in `SYNAUG_HOME` lets one step at a time on each GPU, with or without a
    server, and is let go when its process dies. The server's limit does so for processes that share no home, such as
    containers; it is made on first use with one slot, and an administrator may give it more. A server that a run has
    started for itself is asked for nothing.
    """
    device = devices.resolve(compute.device)
    with contextlib.ExitStack() as held:
        held.enter_context(devices.cpu_threads(compute.threads))
        if device.type == "cuda":
            device = held.enter_context(_free_gpu(device))
        yield device


def gpu_limit_name(gpu: str) -> str:
    """Name of the Prefect concurrency limit that guards one GPU, by the name that its driver gives it."""
    return f"gpu:{slug(gpu).lower()}"


def make_limit(client: SyncPrefectClient, name: str) -> UUID:
    """The server's concurrency limit of that name, made with one slot where there is none. One whose number somebody
    changed stays as it is."""
    try:
        return client.read_global_concurrency_limit_by_name(name).id
    except ObjectNotFound:
        try:
            return client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:  # another process was faster
            return client.read_global_concurrency_limit_by_name(name).id


@contextlib.contextmanager
def server_slot(name: str) -> Iterator[None]:
    """The one slot of a limit of the server, which is made where there is none; nothing on a run's own server.

    Such a server takes no slot back from a run that was killed: leases are a long-lived server's work.
    """
    if settings().own_prefect:
        yield
        return
    with get_client(sync_client=True) as client:
        make_limit(client, name)
    # A step that trains for hours goes on when the server is away for a minute: the lock file still holds.
    with concurrency(name, strict=True, lease_duration=_LEASE, raise_on_lease_renewal_failure=False):
        yield


def _gpus() -> int:
    return max(1, torch.cuda.device_count())


@contextlib.contextmanager
def _free_gpu(device: torch.device) -> Iterator[torch.device]:
    gpus = [device] if device.index is not None else [torch.device("cuda", n) for n in range(torch.cuda.device_count())]
    names = [_identity(gpu) for gpu in gpus]
    home = settings().home
    (home / places.LOCKS).mkdir(parents=True, exist_ok=True)
    with (
        _first_free([places.lock(home, slug(f"gpu-{name}").lower()) for name in names]) as number,
        server_slot(gpu_limit_name(names[number])),
        torch.cuda.device(gpus[number]),
    ):
        yield gpus[number]


def _identity(gpu: torch.device) -> str:
    """What names the GPU itself, wherever it is seen from: in another container, or by another number."""
    uuid = getattr(torch.cuda.get_device_properties(gpu), "uuid", None)
    return str(uuid) if uuid else f"{socket.gethostname()} {gpu.index}"


@contextlib.contextmanager
def _first_free(locks: Sequence[Path]) -> Iterator[int]:
    """Hold the first lock that nobody holds, waiting where all are held; gives its position."""
    for number in itertools.cycle(range(len(locks))):
        lock = FileLock(locks[number])
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
        if lock.is_locked:
            try:
                yield number
            finally:
                lock.release()
            return
        if number == len(locks) - 1:
            time.sleep(_POLL_SECONDS)
