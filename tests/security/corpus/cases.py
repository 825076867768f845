"""Hostile cases: what one is, and how a valid one is spoilt."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """One hostile input.

    `door` says which entry point it is for, `files` what lies in its folder, `say` the texts given with it.
    """

    door: str
    name: str
    files: Files
    say: tuple[str, ...] = ()


class Trap:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("echo unpickled > TRAP",)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, doubled or cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(7)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.randrange(1, 32)]
        elif kind == 3:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 32)))
        elif kind == 4:
            out[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif kind == 5:
            out[at:at] = out[max(0, at - 64) : at]
        else:
            del out[at:]
    return bytes(out)
