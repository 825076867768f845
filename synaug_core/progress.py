"""How long work tells the outside how far it is."""

from typing import Protocol

__all__ = ["Progress", "part_of", "silent"]


class Progress(Protocol):
    """Called with the steps done, the steps in all, and values worth showing (losses, scores)."""

    def __call__(self, done: int, total: int, **values: float) -> None:
        """Take note."""


def silent(done: int, total: int, **values: float) -> None:
    """Tell nobody."""


def part_of(progress: Progress, *, before: int, total_steps: int) -> Progress:
    """Progress of one part of a step, told as progress of the whole."""

    def report(done: int, total: int, **values: float) -> None:
        progress(before + done, total_steps, **values)

    return report
