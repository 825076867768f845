"""A seeded corpus of hostile inputs: bytes, texts and folders that somebody might give to synaug to do harm.

`corpus(seed)` gives the same cases for the same seed. A case is data only; `feed.py` hands it to the product.
"""

from __future__ import annotations

import random

from corpus.archives import npz
from corpus.cases import Case
from corpus.command_lines import commands, sets
from corpus.configs import sweeps, wrong_types, yaml
from corpus.images import images
from corpus.models import checkpoints, classifiers, generators, judges, weights_files
from corpus.names import class_names
from corpus.tables import csv, parquet, predictions
from corpus.wire import addresses, bodies


def corpus(seed: int = 0) -> list[Case]:
    """Every case, in an order that repeats."""
    rng = random.Random(seed)
    parts = (
        images, npz, csv, parquet, predictions, class_names, yaml, wrong_types, sweeps, sets, classifiers,
        generators, judges, checkpoints, weights_files, addresses, bodies, commands,
    )  # fmt: skip
    return [case for part in parts for case in part(rng)]


def thinned(cases: list[Case], share: int) -> list[Case]:
    """Every `share`-th case of each door, the slow doors left out."""
    doors: dict[str, list[Case]] = {}
    for case in cases:
        doors.setdefault(case.door, []).append(case)
    return [case for door, own in doors.items() if door != "command" for case in own[::share]]
