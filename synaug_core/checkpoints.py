"""Where a long training leaves its state, so that a killed one goes on from there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synaug_core.atomic_files import atomic_write

__all__ = ["Checkpoint"]


class Checkpoint:
    """One file, replaced atomically, read back with `weights_only`.

    `path` None keeps nothing. `interval` is the least number of seconds between two saves. A state is a
    nested dict or list of tensors, numbers and strings; a file that cannot be read counts as absent.
    """

    def __init__(self, path: Path | None, interval: float = 20.0) -> None:
        self.path = path
        self.interval = interval
        self._parts: list[Checkpoint] = []
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The last state, or None."""
        import torch

        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # of damaged bytes torch raises nearly anything
            return None
        return state if isinstance(state, dict) else None

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save if it is time; `state` is called only then."""
        if self.path is None or time.monotonic() - self._last < self.interval:
            return
        import torch

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as partial:
            torch.save(state(), partial)
        self._last = time.monotonic()

    def part(self, name: str) -> "Checkpoint":
        """A file beside this one for a part of the work, which is cleared with it."""
        path = None if self.path is None else self.path.with_name(f"{self.path.stem}-{name}{self.path.suffix}")
        self._parts.append(Checkpoint(path, self.interval))
        return self._parts[-1]

    def clear(self) -> None:
        """Forget the state: the training's result is stored."""
        for checkpoint in (self, *self._parts):
            if checkpoint.path is not None:
                checkpoint.path.unlink(missing_ok=True)
