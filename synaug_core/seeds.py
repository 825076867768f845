"""Seeds that depend on nothing but their own name, and random streams that threads do not share."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["derive", "seeded_init", "stream"]

_GLOBAL_STATE = threading.Lock()


def derive(root: int, *parts: str | int) -> int:
    """A seed in [0, 2**63) from a root seed and a path such as ("generator", "EOSINOPHIL").

    Adding a class, an arm or a repetition changes nobody else's seed.
    """
    text = "/".join([str(int(root)), *(str(p) for p in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A random stream of its own: parallel trainings in one process never disturb each other."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)


@contextlib.contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Seed torch's global CPU stream while modules are built, then put it back.

    Module initialisers know only the global stream; the lock keeps parallel builders apart.
    Build on the CPU inside, move to the device afterwards.
    """
    import torch

    with _GLOBAL_STATE, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
