"""A seeded corpus of hostile inputs: bytes, texts and folders that somebody might give to synaug to do harm.

`corpus(seed)` gives the same cases for the same seed. A case is data only; `feed.py` hands it to the product.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from corpus.archives import npz
from corpus.cases import Case, mutated
from corpus.command_lines import commands, sets
from corpus.configs import sweeps, wrong_types, yaml
from corpus.images import images
from corpus.models import checkpoints, classifiers, generators, judges, weights_files
from corpus.names import class_names
from corpus.tables import csv, parquet, predictions
from corpus.wire import addresses, bodies

_MUTANTS = {
    "image": 3000, "body": 1600, "yaml": 900, "npz": 700, "predictions": 500, "parquet": 400, "sweep": 300, "csv": 300,
}  # fmt: skip
"""Further cases of each door: those that read the most bytes of strangers, in the least time."""
_LONGEST = 20_000


def corpus(seed: int = 0) -> list[Case]:
    """Every case, in an order that repeats."""
    rng = random.Random(seed)
    parts = (
        images, npz, csv, parquet, predictions, class_names, yaml, wrong_types, sweeps, sets, classifiers,
        generators, judges, checkpoints, weights_files, addresses, bodies, commands,
    )  # fmt: skip
    cases = [case for part in parts for case in part(rng)]
    return cases + [mutant for door, count in _MUTANTS.items() for mutant in _mutants(cases, door, count, rng)]


def _mutants(cases: list[Case], door: str, count: int, rng: random.Random) -> Iterator[Case]:
    """Cases of a door, valid ones and hostile ones, with the bytes of their last file changed at random."""
    own = [case for case in cases if case.door == door and 0 < len(list(case.files.values())[-1]) <= _LONGEST]
    for number in range(count):
        case = rng.choice(own)
        *_, name = case.files
        files = {**case.files, name: mutated(case.files[name], rng)}
        yield Case(door, f"mutant-{number}-of-{case.name}", files, case.say)


def thinned(cases: list[Case], share: int) -> list[Case]:
    """Every `share`-th case of each door, the slow doors left out."""
    doors: dict[str, list[Case]] = {}
    for case in cases:
        doors.setdefault(case.door, []).append(case)
    return [case for door, own in doors.items() if door != "command" for case in own[::share]]
