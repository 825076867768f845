"""Two processes that take turns: each side in its own environment, the same requests to both, several rounds."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

__all__ = ["ROOT", "Comparison", "Seconds", "Stopwatch", "Worker", "report", "serve", "take_turns", "worker"]

ROOT = Path(__file__).resolve().parent.parent
Request = dict[str, Any]


class Worker:
    """A process that answers each line of JSON with one line of JSON."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def ask(self, request: Request) -> Request:
        """Send a request and wait for its answer.

        Raises:
            RuntimeError: the process ended instead; the end of what it wrote is in the message.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a worker needs pipes")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side of the benchmark ended early:\n{self._log.read_text()[-3000:]}")
        answer: Request = json.loads(line)
        return answer


@contextlib.contextmanager
def worker(python: Path, module: str, threads: int, **variables: str) -> Iterator[Worker]:
    """Start `python -m module` at the repository's root, with that many threads and environment variables of its own;
    it ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [str(python), "-m", module],
                cwd=ROOT,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(threads),
                    "PYTHONPATH": str(ROOT),
                    "TMPDIR": folder,
                    **variables,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                yield Worker(process, log)
            finally:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=30)  # closes its input, at which it ends
                process.kill()
                process.wait()


def serve(actions: dict[str, Callable[..., Request]]) -> None:
    """The other end: answer requests {"do": name, ...} until there are none. Prints of libraries go to the log."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            answer = actions[request.pop("do")](**request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


class Seconds(NamedTuple):
    """How long something took: on the wall, and of this process's CPU time, which a busy machine disturbs less."""

    wall: float
    cpu: float


class Stopwatch:
    """Measures a `with` block; `device` is waited for before each look at the clock."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def __enter__(self) -> Self:
        self._begun = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = Seconds(*(end - begin for begin, end in zip(self._begun, self._now(), strict=True)))

    def _now(self) -> Seconds:
        if self._device != "cpu":
            import torch

            torch.cuda.synchronize(self._device)
        return Seconds(time.perf_counter(), time.process_time())


class Comparison(NamedTuple):
    """Seconds of each round of both sides, for the same amount of work."""

    name: str
    own: list[Seconds]
    peer: list[Seconds]
    amount: float
    unit: str

    def ratios(self, clock: int = 0) -> list[float]:
        """Peer's seconds by our own in each round (clock 0: wall, 1: CPU): above 1 we are faster."""
        return [peer[clock] / own[clock] for own, peer in zip(self.own, self.peer, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ratio, cpu_ratio = (statistics.median(self.ratios(clock)) for clock in (0, 1))
        return {**self._asdict(), "ratio": ratio, "cpu_ratio": cpu_ratio}


def take_turns(
    name: str, own: Callable[[], Seconds], peer: Callable[[], Seconds], *, rounds: int, amount: float, unit: str
) -> Comparison:
    """Seconds of both sides in turn; who goes first changes with the round. `amount` of `unit` is one turn's work."""
    result = Comparison(name, [], [], amount, unit)
    for number in range(rounds):
        turns = [(own, result.own), (peer, result.peer)]
        for side, seconds in turns if number % 2 == 0 else reversed(turns):
            seconds.append(side())
    return result


def report(title: str, sides: tuple[str, str], rows: Sequence[Comparison], file: Path | None, **facts: Any) -> None:
    """Print a table of the comparisons, and write them with the machine's description to a JSON file."""
    machine = {"system": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count(), **facts}
    print(title + "\n  " + ", ".join(f"{name} {value}" for name, value in machine.items()))
    width = max(len(row.name) for row in rows)
    print(f"  {'':{width}}  {sides[0]:>18}  {sides[1]:>18}     ratio  (rounds)             by CPU time")
    for row in rows:
        speeds = [row.amount / statistics.median(s.wall for s in side) for side in (row.own, row.peer)]
        own, peer_speed = (f"{speed:10.1f} {row.unit:7}" for speed in speeds)
        wall, cpu = row.ratios(0), row.ratios(1)
        spread = f"({min(wall):.2f} to {max(wall):.2f})"
        print(
            f"  {row.name:{width}}  {own}  {peer_speed}  {statistics.median(wall):7.2f}x  {spread:20} "
            f"{statistics.median(cpu):7.2f}x"
        )
    if file is not None:
        file.write_text(json.dumps({"machine": machine, "rows": [row.as_dict() for row in rows]}, indent=2) + "\n")
