"""How long work tells the outside how far it is."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called with the steps done, the steps in all, and values worth showing (losses, scores)."""

    def __call__(self, done: int, total: int, **values: float) -> None:
        """Take note."""


def silent(done: int, total: int, **values: float) -> None:
    """Tell nobody."""
