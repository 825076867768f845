"""What the parts of `core_only` share: the configuration, the data, a folder and threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from synaug_core import devices
from synaug_core.checkpoints import Checkpoint
from synaug_core.config import Config
from synaug_core.data.imageset import ImageSet
from synaug_core.data.prepare import Prepared

__all__ = ["Job", "Synthetic", "call"]

P = ParamSpec("P")
R = TypeVar("R")

Synthetic = dict[str, ImageSet | None]
"""The images made for each arm."""


class Job:
    """One retraining: its configuration, its data, its folder and its threads."""

    def __init__(self, config: Config, folder: Path, workers: int) -> None:
        self.config = config
        self.folder = folder
        self.device = devices.resolve(config.compute.device)
        self.pool = ThreadPoolExecutor(workers)
        self.workers = workers
        self.data: Prepared

    def side_by_side(self, calls: Iterable[Callable[[], R]]) -> list[R]:
        """The results of calls on the threads, in their order."""

        def limited(call: Callable[[], R]) -> R:
            with devices.cpu_threads(self.config.compute.threads):
                return call()

        return [future.result() for future in [self.pool.submit(limited, call) for call in calls]]

    def place(self, name: str) -> Path:
        """Where a file of this name goes."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, figure: Any, name: str) -> None:
        """Write a figure of matplotlib, an image, or the bytes of one."""
        if isinstance(figure, bytes):
            self.place(name).write_bytes(figure)
        elif hasattr(figure, "savefig"):
            figure.savefig(self.place(name), dpi=110, bbox_inches="tight")
        else:
            figure.save(self.place(name))

    def checkpoint(self, name: str) -> Checkpoint:
        """Where a training of this name leaves its state."""
        return Checkpoint(self.place(f"checkpoints/{name}.pt"))


def call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
    """The call, put off."""
    return lambda: function(*args, **kwargs)
