"""Training one classifier: synaug's loop against a good user's own. `make bench` runs it.

The user has a Dataset in memory or an ImageFolder, a DataLoader that loads in the process or with two workers,
torchvision's transforms (v2) with the same ranges, a network of the same shape (or timm's), AdamW, a cosine schedule,
class-balanced batches and an evaluation every 25 steps. Both make the same number of steps. Above 1, synaug is faster.

`--isa AVX2` (or AVX512_CORE) keeps oneDNN below the machine's instructions on both sides, and synaug in float32: what a
CPU without bfloat16 would say.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Comparison, Seconds, Worker, report, take_turns, worker

_PEERS = {
    "in memory": {"folder": False, "workers": 0},
    "in memory, 2 workers": {"folder": False, "workers": 2},
    "ImageFolder": {"folder": True, "workers": 0},
    "ImageFolder, 2 workers": {"folder": True, "workers": 2},
}


def _seconds(side: Worker, do: str, **values: Any) -> Seconds:
    return Seconds(*side.ask({"do": do, **values})["seconds"])


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="of each training")
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 64])
    parser.add_argument("--peers", nargs="+", choices=list(_PEERS), default=list(_PEERS))
    parser.add_argument("--backbone", default="small_cnn", help="small_cnn, or a name of timm's")
    parser.add_argument("--width", type=int, default=24, help="of small_cnn")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="synaug's")
    parser.add_argument("--isa", help="ONEDNN_MAX_CPU_ISA of both sides, such as AVX2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    precision = "float32" if options.isa else options.precision
    limits = {"ONEDNN_MAX_CPU_ISA": options.isa} if options.isa else {}
    rows: list[Comparison] = []
    python = Path(sys.executable)
    with (
        worker(python, "benchmarks.side_loop", options.threads, **limits) as own,
        worker(python, "benchmarks.side_loop", options.threads, **limits) as peer,
    ):
        for size, augment in itertools.product(options.sizes, (False, True)):
            work = {"size": size, "steps": options.steps, "augment": augment}
            work |= {"backbone": options.backbone, "width": options.width}
            own_turn = partial(_seconds, own, "synaug", **work, precision=precision)
            own_turn()  # one turn that does not count
            for name in options.peers:
                peer_turn = partial(_seconds, peer, "user", **work, **_PEERS[name])
                peer_turn()
                title = f"{size} px, {'augmented' if augment else 'as they are'}, against {name}"
                rows.append(
                    take_turns(title, own_turn, peer_turn, rounds=options.rounds, amount=options.steps, unit="steps/s")
                )
                print(f"{title}: {rows[-1].as_dict()['ratio']:.2f}", file=sys.stderr, flush=True)
    report(
        f"Training {options.backbone}: synaug against DataLoader and torchvision",
        ("synaug", "user"),
        rows,
        options.json,
        threads=options.threads,
        precision=precision,
        isa=options.isa or "all",
    )


if __name__ == "__main__":
    main()
