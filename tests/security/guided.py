"""Inputs that are bred: one that reaches a step between two lines which none reached before is changed further."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from corpus.cases import mutated

_VALUES = (
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"inf",
    b"2147483648",
    b"18446744073709551616",
    b"null",
    b"true",
    b"[]",
    b"{}",
)
_MOST = 20_000
"""Bytes of an input that is changed further: long ones are slow, and say nothing that short ones do not."""


class Coverage:
    """Within the block, the steps between lines of the files below a folder, in every thread that begins in it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.steps: set[tuple[str, int, int]] = set()

    def __enter__(self) -> Coverage:
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]  # what it takes, whatever its stub says

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if not file.startswith(self._folder):
            return None
        line_before = 0

        def follow(inner: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal line_before
            self.steps.add((file, line_before, inner.f_lineno))
            line_before = inner.f_lineno
            return follow

        return follow


def breed(
    feed: Callable[[bytes], str], seeds: Sequence[bytes], folder: str, rng: random.Random, goes_on: Callable[[], bool]
) -> Iterator[tuple[bytes, str]]:
    """Every input that something came of, with what it was; ends when it does not go on.

    Args:
        feed: hands an input over, and says what went wrong; "" nothing.
        seeds: inputs to begin with.
        folder: with the files whose lines count.
        rng: chooses what is changed, and how.
        goes_on: asked before each input.
    """
    reached: set[tuple[str, int, int]] = set()
    pool: list[bytes] = []
    words = sorted({word for seed in seeds for word in re.findall(rb"[A-Za-z_]{3,24}", seed[:_MOST])})[:500]
    waiting = list(seeds)
    while goes_on():
        data = waiting.pop() if waiting else _changed(rng.choice(pool or list(seeds)), pool, words, rng)
        with Coverage(folder) as coverage:
            problem = feed(data)
        if problem:
            yield data, problem
        if not coverage.steps <= reached and len(data) <= _MOST:
            pool.append(data)
        reached |= coverage.steps


def _changed(data: bytes, pool: Sequence[bytes], words: Sequence[bytes], rng: random.Random) -> bytes:
    kind, place = rng.randrange(6), rng.randrange(len(data) + 1)
    if kind == 0 and pool:
        other = rng.choice(pool)
        return data[:place] + other[rng.randrange(len(other) + 1) :]
    if kind == 1:
        token = rng.choice((*_VALUES, *words))
        return data[:place] + token + data[place + rng.choice((0, len(token))) :]
    if kind == 2 and (numbers := list(re.finditer(rb"-?\d+(\.\d+)?", data))):
        number = rng.choice(numbers)
        return data[: number.start()] + rng.choice(_VALUES) + data[number.end() :]
    return mutated(data, rng)
