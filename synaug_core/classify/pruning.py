"""When a trial of a search is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

__all__ = ["Pruned", "below_median", "value_at"]

_FEWEST = 4


class Pruned(Exception):  # noqa: N818  # an outcome of a trial, not an error
    """A trial falls behind and is given up."""


def value_at(curve: Mapping[int, float], position: int, *, carry: bool) -> float | None:
    """A curve's value at a position: its last one up to there.

    `carry` True lets the last value of a curve that ended earlier (an early stop) stand for what would have
    followed; False gives None behind its end (a pruned trial says nothing about later positions).
    """
    known = [p for p in curve if p <= position]
    if not known or (not carry and max(curve) < position):
        return None
    return curve[max(known)]


def below_median(value: float, others: Sequence[float]) -> bool:
    """True if `value` is below the median of at least four other trials at the same position.

    The rule of Golovin et al., "Google Vizier" (KDD 2017), section 3.2.2, on running bests.
    """
    return len(others) >= _FEWEST and value < median(others)
