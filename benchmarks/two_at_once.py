"""What two cores allow: one training alone, and the same in two processes at once that share nothing.

    python -m benchmarks.two_at_once

Two that did not disturb each other would be 2.00 times as fast as one after the other. It is the ceiling of
`dask_scale`. Wants a machine with two idle cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Barrier


def _train(steps: int, begin: Barrier, done: multiprocessing.SimpleQueue[float]) -> None:
    import torch

    from synaug_core.classify.training import TrainingJob, train
    from synaug_core.config import ArmConfig, ClassifierConfig
    from synaug_core.testing.conformance import make_images

    torch.set_num_threads(1)
    images = make_images({"a": 60, "b": 60, "c": 60}, 1, 16)
    config = ClassifierConfig(steps=steps, evaluate_every=250, patience=10_000)
    arm = ArmConfig(name="x", sampling="balanced", augmentation="traditional")
    held_out = images.take(range(0, len(images), 6))
    begin.wait()
    start_time = time.perf_counter()
    train(TrainingJob(config, arm, images, held_out, init_seed=1, batch_seed=2, device="cpu"))
    done.put(time.perf_counter() - start_time)


def _seconds(processes: int, steps: int) -> float:
    """Of the slowest of so many trainings at once; libraries are loaded before."""
    spawn = multiprocessing.get_context("spawn")
    begin, done = spawn.Barrier(processes), spawn.SimpleQueue()
    running = [spawn.Process(target=_train, args=(steps, begin, done)) for _ in range(processes)]
    for process in running:
        process.start()
    seconds: list[float] = [done.get() for _ in running]
    for process in running:
        process.join()
    return max(seconds)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1250, help="of each training")
    options = parser.parse_args()
    ratios = []
    for _ in range(options.rounds):
        alone, together = _seconds(1, options.steps), _seconds(2, options.steps)
        ratios.append(2 * alone / together)
        print(f"alone {alone:.2f} s, two at once {together:.2f} s: {ratios[-1]:.2f} times as fast")
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
