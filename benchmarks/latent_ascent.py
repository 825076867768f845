"""Ascent in latent space, a batch at once against one image after the other: how much faster, and whether equal.

python -m benchmarks.latent_ascent [--size 16] [--images 64] [--steps 5] [--repeats 5] [--device cpu]

On a CPU the gain is what each call costs before it computes anything, so it is the smaller the larger the images.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from synaug_core import devices
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ClassifierConfig, DataConfig, GeneratorConfig
from synaug_core.data.prepare import prepare
from synaug_core.generators.autoencoder import SpatialAutoencoder
from synaug_core.generators.base import FitJob
from synaug_core.seeds import stream
from synaug_core.synthesis.targeted.ascent import ascend, median_distance
from synaug_core.synthesis.targeted.uncertainty import dropout_posterior, mutual_information

__all__ = ["compare"]


def compare(size: int, images: int, steps: int, repeats: int, device: torch.device) -> dict[str, float]:
    """Seconds of both ways (least of `repeats`), their ratio, and how far apart the latents are."""
    data = prepare(DataConfig(source="digits", image_size=size), seed=0)
    config = GeneratorConfig(kind="autoencoder", steps=100)
    generator = SpatialAutoencoder(config, data.train.classes, 1, size).fit(data.train, FitJob(seed=1, device=device))
    model = train(
        TrainingJob(
            ClassifierConfig(steps=100),
            STANDARD_ARMS["original"],
            data.train,
            data.val,
            init_seed=1,
            batch_seed=1,
            device=device,
        )
    ).model
    posterior = dropout_posterior(model, 20, stream(1, device))
    start = generator.encode(data.train.images[:images], "0")[0]
    unit = median_distance(start)

    def score(z: Tensor) -> Tensor:
        return mutual_information(posterior(generator.decode_with_gradient(z, "0")))

    def climb(rows: Tensor) -> Tensor:
        return ascend(rows, score, steps=steps, step_size=0.1 * unit, radius=0.5 * unit).z

    def one_by_one() -> Tensor:
        return torch.cat([climb(row[None]) for row in start])

    together, batched = _timed(lambda: climb(start), repeats, device)
    alone, single = _timed(one_by_one, repeats, device)
    apart = (batched - single).abs().amax(dim=1)
    return {
        "batched_seconds": together,
        "one_by_one_seconds": alone,
        "ratio": alone / together,
        "largest_difference": float(apart.max()),
        "share_within_1e-4": float((apart < 1e-4).float().mean()),
    }


def _timed(work: Callable[[], Tensor], repeats: int, device: torch.device) -> tuple[float, Tensor]:
    seconds, result = [], work()
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 16), ("images", 64), ("steps", 5), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with devices.cpu_threads(1):
        device = devices.resolve(options.device)
        print(json.dumps(compare(options.size, options.images, options.steps, options.repeats, device), indent=1))


if __name__ == "__main__":
    _main()
