"""Class-specific VAEs against pythae: training 3 and 37 of them, and images made from them. `make bench` runs it.

Same nets, batch, number of steps, learning rate, float32 and threads; pythae runs in `.venv-pythae`, in a process of
its own. Above 1, synaug is faster.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks.side_by_side import ROOT, Comparison, Seconds, Worker, report, take_turns, worker


def _seconds(side: Worker, do: str, **values: object) -> Seconds:
    return Seconds(*side.ask({"do": do, **values})["seconds"])


def _compare(own: Worker, peer: Worker, options: argparse.Namespace, classes: int, steps: int) -> list[Comparison]:
    work = {"classes": classes, "steps": steps, "size": options.size, "width": options.width, "device": options.device}
    count, rounds = options.images, options.rounds
    actions = ((own, ("train", "synthesise")), (peer, ("train", "sample", "interpolate")))
    for side, names in actions:  # one turn of each that does not count
        for do in names:
            _seconds(side, do, **(work if do == "train" else {"count": count}))
    rows = [
        take_turns(
            f"train {classes} VAEs",
            partial(_seconds, own, "train", **work),
            partial(_seconds, peer, "train", **work),
            rounds=rounds,
            amount=classes * steps,
            unit="steps/s",
        )
    ]
    rows += [
        take_turns(
            f"interpolated images of {classes} classes, against its {name}",
            partial(_seconds, own, "synthesise", count=count),
            partial(_seconds, peer, do, count=count),
            rounds=rounds,
            amount=classes * count,
            unit="img/s",
        )
        for name, do in (("sampler", "sample"), ("interpolate", "interpolate"))
    ]
    return rows


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 37])
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps of all classes together, about")
    parser.add_argument("--images", type=int, default=500, help="images made of each class")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    python = ROOT / ".venv-pythae" / "bin" / "python"
    if not python.exists():
        sys.exit("pythae's environment is missing: `make bench` makes it")
    rows = []
    with (
        worker(Path(sys.executable), "benchmarks.side_synaug", options.threads) as own,
        worker(python, "benchmarks.side_pythae", options.threads) as peer,
    ):
        for classes in options.classes:
            steps = max(4, round(options.steps / classes / 4) * 4)
            rows += _compare(own, peer, options, classes, steps)
    report(
        "Class-specific VAEs: synaug against pythae",
        ("synaug", "pythae"),
        rows,
        options.json,
        device=options.device,
        threads=options.threads,
        size=options.size,
        width=options.width,
    )


if __name__ == "__main__":
    main()
