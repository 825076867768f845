"""Ascent in latent space, a batch at once against one image after the other: how much faster, and whether equal.

python -m benchmarks.latent_ascent [--size 28] [--images 64] [--steps 5] [--repeats 3] [--device cpu]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from synaug_core import devices
from synaug_core.classify.build import build
from synaug_core.config import ClassifierConfig, GeneratorConfig
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.ascent import ascend, median_distance
from synaug_core.synthesis.targeted.posterior import dropout_posterior
from synaug_core.synthesis.targeted.uncertainty import mutual_information
from synaug_core.testing.conformance import make_images

__all__ = ["compare"]


def compare(size: int, images: int, steps: int, repeats: int, device: torch.device) -> dict[str, float]:
    """Seconds of both ways (medians), their ratio, and the largest difference of a latent value."""
    data = make_images({"a": images}, 1, size)
    config = GeneratorConfig(kind="autoencoder", steps=30)
    generator = SpatialAutoencoder(config, ("a",), 1, size).fit(data, seed=1, device=device)
    model = build(ClassifierConfig(), channels=1, size=size, classes=("a", "b"), seed=1, mean=(0.3,), std=(0.3,))
    posterior = dropout_posterior(model.to(device).eval(), 20, stream(1, device))
    start = generator.encode(data.images, "a")[0]
    unit = median_distance(start)

    def score(z: Tensor) -> Tensor:
        return mutual_information(posterior(generator.decode_with_gradient(z, "a")))

    def climb(rows: Tensor) -> Tensor:
        return ascend(rows, score, steps=steps, step_size=0.1 * unit, radius=0.5 * unit).z

    def one_by_one() -> Tensor:
        return torch.cat([climb(row[None]) for row in start])

    together, batched = _timed(lambda: climb(start), repeats, device)
    alone, single = _timed(one_by_one, repeats, device)
    return {
        "batched_seconds": together,
        "one_by_one_seconds": alone,
        "ratio": alone / together,
        "largest_difference": float((batched - single).abs().max()),
    }


def _timed(work: Callable[[], Tensor], repeats: int, device: torch.device) -> tuple[float, Tensor]:
    found, result = [], work()
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found), result


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 28), ("images", 64), ("steps", 5), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    with devices.cpu_threads(1):
        device = devices.resolve(given.device)
        print(json.dumps(compare(given.size, given.images, given.steps, given.repeats, device), indent=1))


if __name__ == "__main__":
    _main()
