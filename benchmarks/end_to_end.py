"""A run end to end against a plain script of the same trainings. `make bench` runs it on few steps.

The script knows torch and torchvision: a VAE for each class that needs images, a search of as many trainings, and every
repetition of every arm, in as many processes as there are cores. It measures no quality, no robustness and no interval,
registers nothing, writes no report, and cannot go on where it was killed. Above 1, synaug's whole run is faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.flow_overhead import SERVICES
from benchmarks.side_by_side import Seconds, Worker, report, take_turns, worker
from synaug_core.config.load import load


def _run(side: Worker, config: dict[str, Any], seeds: Iterator[int]) -> Seconds:
    """A new seed in each turn, so that nothing is found in a cache."""
    return Seconds(*side.ask({"do": "run", "config": config | {"seed": next(seeds)}})["seconds"])


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="digits", help="a configuration, or data")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a key of the configuration")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    config = load(options.source, options.settings).model_dump(mode="json")
    python, own_seeds, peer_seeds = Path(sys.executable), count(), count()
    with (
        tempfile.TemporaryDirectory() as home,
        worker(python, "benchmarks.side_flow", 1, SYNAUG_HOME=home, **dict.fromkeys(SERVICES, "")) as own,
        worker(python, "benchmarks.side_plain", 1) as peer,
    ):
        row = take_turns(
            f"{options.source}: {len(config['arms'])} arms, {config['repetitions']} repetitions",
            lambda: _run(own, config, own_seeds),
            lambda: _run(peer, config, peer_seeds),
            rounds=options.rounds,
            amount=1,
            unit="runs/s",
        )
    report("A whole run: synaug against a plain script", ("synaug", "script"), [row], options.json)


if __name__ == "__main__":
    main()
