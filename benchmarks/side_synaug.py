"""synaug's side of the comparison: all classes of a group in one call, then images of each."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.side_by_side import Stopwatch, serve
from benchmarks.workload import Workload, loss, pixels
from synaug_core.config import GeneratorConfig, SynthesisConfig, VAEConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob, LatentGenerator
from synaug_core.synthesis.make import synthesise


def _images(work: Workload) -> ImageSet:
    images = torch.cat([pixels(work, number) for number in range(work.classes)])
    count = len(images)
    names = tuple(f"{number}" for number in range(count))
    return ImageSet(
        images=images,
        labels=torch.arange(work.classes).repeat_interleave(work.images_per_class),
        classes=tuple(f"class {number:02}" for number in range(work.classes)),
        ids=names,
        groups=names,
        provenance=("{}",) * count,
    )


class _Side:
    """Holds the last generator, so that images can be made from it."""

    generator: LatentGenerator
    images: ImageSet

    def train(self, **values: Any) -> dict[str, Any]:
        """Train all classes in one call, on every image, without an early stop."""
        work = Workload(**values)
        self.images = _images(work)
        device = torch.device(work.device)
        config = GeneratorConfig(
            augment="none",
            steps=work.steps,
            batch_size=work.batch_size,
            width=work.width,
            latent_dim=work.latent_dim,
            learning_rate=work.learning_rate,
            vae=VAEConfig(variance=1.0),
            validation_share=0.0,
        )
        with Stopwatch(work.device) as watch:
            generator = registry.create(config, self.images.classes, work.channels, work.size)
            generator.fit(self.images, FitJob(seed=0, device=device))
        if not isinstance(generator, LatentGenerator):
            raise TypeError("a VAE has latent vectors")
        if short := [r.class_name for r in generator.reports.values() if r.steps != work.steps]:
            raise RuntimeError(f"stopped before {work.steps} steps: {short}")
        self.generator = generator
        losses = []
        for name in generator.classes:
            images = self.images.of_class(name).images
            mean, log_variance = generator.encode(images, name)
            losses.append(
                loss(images.float() / 255, generator.decode(mean, name).cpu(), mean.cpu(), log_variance.cpu())
            )
        return {"seconds": watch.seconds, "loss": sum(losses) / len(losses)}

    def synthesise(self, count: int) -> dict[str, Any]:
        """Interpolated images of each class, every one between two ends of its own."""
        plan = dict.fromkeys(self.generator.classes, count)
        with Stopwatch() as watch:
            images = synthesise(self.generator, self.images, plan, SynthesisConfig(filters=None), seed=0).images
        return {"seconds": watch.seconds, "images": len(images)}


if __name__ == "__main__":
    side = _Side()
    serve({"train": side.train, "synthesise": side.synthesise})
