"""From a class's images to what its training starts with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synaug_core.config import GeneratorConfig
from synaug_core.generators.class_vae.executor import Executor
from synaug_core.generators.class_vae.loop import LoopExecutor
from synaug_core.generators.class_vae.stack import StackExecutor
from synaug_core.generators.class_vae.training import ClassTask
from synaug_core.generators.draws import divide
from synaug_core.generators.pool import Pool
from synaug_core.nets.vae import ConvVAE
from synaug_core.seeds import derive, seeded_init

__all__ = ["make_executor", "make_tasks", "start"]


def make_tasks(parts: Mapping[str, Tensor], config: GeneratorConfig, seed: int) -> list[ClassTask]:
    """A task for each class; rows count through the classes' images put one after the other.

    A class's seed comes from `seed` and its name alone.
    """
    tasks, first = [], 0
    for name, images in parts.items():
        own = derive(seed, "class", name)
        rows, held_out = divide(len(images), config.validation_share, own)
        pixels = images[rows].to(torch.float32).div_(255)
        centre = pixels.mean(0)
        tasks.append(
            ClassTask(name, rows + first, held_out + first, own, centre, float((pixels - centre).square().mean()))
        )
        first += len(images)
    return tasks


def start(task: ClassTask, config: GeneratorConfig) -> ConvVAE:
    """The class's model before its first step."""
    channels, size = task.centre.shape[0], task.centre.shape[-1]
    with seeded_init(derive(task.seed, "init")):
        model = ConvVAE(channels, size, config.width, config.latent_dim)
    model.start_at(task.centre)
    return model


def make_executor(pool: Pool, models: Mapping[str, ConvVAE], config: GeneratorConfig) -> Executor:
    """The executor that the configuration names; `auto` is the stack on a GPU and the loop elsewhere."""
    stacked = config.vae.execution == "stack" or (config.vae.execution == "auto" and pool.device.type == "cuda")
    kind = StackExecutor if stacked else LoopExecutor
    return kind(pool, models, learning_rate=config.learning_rate, clip=config.clip)
