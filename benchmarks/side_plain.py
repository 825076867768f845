"""The plain script's side of `end_to_end`: the trainings of a run and nothing else, in as many processes as cores."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.side_by_side import Stopwatch, serve
from benchmarks.side_loop import InMemory, fit_classifier
from synaug_core.classify.budget import resolve_steps
from synaug_core.classify.search_space import list_rungs, searched_arms
from synaug_core.config import ArmConfig, Config
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.data.prepare import Prepared, prepare
from synaug_core.nets.vae import ConvVAE
from synaug_core.synthesis.plan import plan


def run(config: dict[str, Any]) -> dict[str, Any]:
    """VAEs of the classes that need images, interpolated images, a search, and every repetition of every arm."""
    settings = Config.model_validate(config)
    with Stopwatch() as watch:
        data = prepare(settings.data, seed=settings.seed)
        classifier = resolve_steps(settings.classifier, settings.arms, data.train.counts())
        settings = settings.model_copy(update={"classifier": classifier})
        with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            accuracies = _train_arms(settings, data, _make_images(settings, data.train, pool), pool)
    return {"seconds": watch.seconds, "accuracy": sum(accuracies) / len(accuracies), "trainings": len(accuracies)}


def _make_images(settings: Config, train: ImageSet, pool: ProcessPoolExecutor) -> ImageSet:
    counts = plan(train.counts(), settings.synthesis.sampling_strategy, settings.synthesis.multiple)
    needed = {name: n for name, n in counts.items() if n}
    fitted = pool.map(partial(_interpolated, settings), [train.of_class(c).images for c in needed], needed.values())
    parts = [train]
    for name, images in zip(needed, fitted, strict=True):
        ids = tuple(f"new/{name}/{i}" for i in range(len(images)))
        labels = torch.full((len(images),), train.classes.index(name))
        parts.append(ImageSet(images, labels, train.classes, ids, ids, ("{}",) * len(images)))
    return concatenate(parts)


def _interpolated(settings: Config, images: Tensor, count: int) -> Tensor:
    """Fit a VAE with Adam for all its steps, and decode points between two posterior means."""
    torch.set_num_threads(1)
    options, inputs = settings.generator, images.float() / 255
    model = ConvVAE(images.shape[1], images.shape[-1], options.width, options.latent_dim)
    model.start_at(inputs.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
    for _ in range(options.steps):
        batch = inputs[torch.randint(len(inputs), (options.batch_size,))]
        mean, log_variance = model.encoder(batch)
        decoded = model.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        error = F.mse_loss(decoded, batch, reduction="sum") / (2 * 0.01)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        optimizer.zero_grad(set_to_none=True)
        ((error + kl) / len(batch)).backward()
        optimizer.step()
    with torch.no_grad():
        ends = model.encoder(inputs)[0][torch.randint(len(inputs), (2, count))]
        share = torch.rand(count, 1)
        decoded = torch.as_tensor(model.decoder(ends[0] * (1 - share) + ends[1] * share))
        return (decoded * 255).round().to(torch.uint8)


def _train_arms(settings: Config, data: Prepared, joined: ImageSet, pool: ProcessPoolExecutor) -> list[float]:
    steps = settings.classifier.step_count
    tuning = settings.tuning.model_copy(update={"steps": settings.classifier.steps_or_half(settings.tuning.steps)})
    for rung in list_rungs(tuning) if tuning.trials else ():
        searched = [arm for arm in searched_arms(tuning, settings.arms) for _ in range(rung.trials)]
        list(pool.map(partial(_train, settings, data, joined, rung.steps), searched))
    repeated = [arm for _ in range(settings.repetitions) for arm in settings.arms]
    return list(pool.map(partial(_train, settings, data, joined, steps), repeated))


def _train(settings: Config, data: Prepared, joined: ImageSet, steps: int, arm: ArmConfig) -> float:
    """One training of an arm; its accuracy on the test images."""
    torch.set_num_threads(1)
    train = joined if arm.synthesis is not None else data.train
    model = fit_classifier(
        InMemory(train, arm.augmentation != "none"),
        train,
        data.val,
        steps=steps,
        backbone=settings.classifier.backbone,
        width=settings.classifier.width,
        balanced=arm.sampling == "balanced",
    ).eval()
    test = InMemory(data.test, augment=False)
    with torch.no_grad():
        logits = model(torch.stack([test[i][0] for i in range(len(test))]))
    return float((logits.argmax(1) == data.test.labels).float().mean())


if __name__ == "__main__":
    serve({"run": run})
