"""The training of the one network: blocks of steps, the averaged weights looked at after each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from synaug_core.checkpoints import Checkpoint
from synaug_core.config import GeneratorConfig
from synaug_core.generators.averaging import decay_at, follow
from synaug_core.generators.diffusion import augmentation, draws
from synaug_core.generators.diffusion.network import Denoiser
from synaug_core.generators.fit_report import Status
from synaug_core.generators.training_loop import Clock, OneCourse, go
from synaug_core.generators.weights import Weights, make_optimizer
from synaug_core.progress import Progress

__all__ = ["AVERAGING_DELAY", "Course", "learning_rate_at", "train", "velocity_losses"]

AVERAGING_DELAY = 9
"""Of the weights' average: a first step counts for 0.9 of it."""
_BETAS = (0.9, 0.99)
_WARMUP = 100
"""Steps over which the learning rate rises, at most a tenth of all."""
_LAST_RATE = 0.1
"""Learning rate at the end over the highest."""


@dataclass
class Course:
    """How far the training has come.

    Attributes:
        weights: the averaged ones of the last block whose losses and weights were finite.
    """

    weights: Weights
    status: Status | None = None
    steps: int = 0
    best_step: int = 0
    losses: list[tuple[int, list[float]]] = field(default_factory=list)
    """After each block: steps done, mean squared error of the velocity of each class (NaN where it had no image)."""


def learning_rate_at(step: int, steps: int, highest: float) -> float:
    """A short linear rise, then half a cosine down to a tenth."""
    rise = max(1, min(_WARMUP, steps // 10))
    if step < rise:
        return highest * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return highest * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def velocity_losses(
    network: nn.Module, images: Tensor, noise: Tensor, levels: Tensor, conditions: Tensor, signal_shares: Tensor
) -> Tensor:
    """Mean squared error of the velocity v = alpha noise - sigma image of each image, float32 (n,).

    Salimans and Ho, arXiv 2202.00512, section 4. Few sampling steps begin at pure noise, where noise is known
    without a network and tells nothing about the image; the velocity there is the image itself.
    """
    share = signal_shares[levels][:, None, None, None]
    alpha, sigma = share.sqrt().to(torch.float32), (1 - share).sqrt().to(torch.float32)
    velocity = network(alpha * images + sigma * noise, levels, conditions)
    losses: Tensor = (velocity - (alpha * noise - sigma * images)).square().mean(dim=(1, 2, 3))
    return losses


class _Run(OneCourse[Course]):
    """One training under way."""

    def __init__(
        self,
        network: Denoiser,
        pool: Tensor,
        counts: list[int],
        signal_shares: Tensor,
        config: GeneratorConfig,
        seed: int,
        clock: Clock,
    ) -> None:
        self.network, self.pool, self.counts, self.config, self.seed = network, pool, counts, config, seed
        self.clock = clock
        self.shares = signal_shares.to(pool.device)
        self.parameters: list[Tensor] = list(network.parameters())
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.optimizer = make_optimizer(self.parameters, config.learning_rate, _BETAS)
        self.classes = torch.eye(len(counts), device=pool.device)
        self.course = Course(self._now())

    def restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for own, kept in zip(self.averaged, state["averaged"], strict=True):
            own.copy_(kept)
        losses = [(int(step), list(values)) for step, values in state["losses"]]
        self.course = Course(self._now(), state["status"], state["steps"], state["best_step"], losses)

    def state(self) -> dict[str, Any]:
        course = self.course
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "losses": [[step, values] for step, values in course.losses],
            "status": course.status,
            "steps": course.steps,
            "best_step": course.best_step,
        }

    def advance(self) -> dict[str, float]:
        """One block of steps; the mean loss. A block may take long here, so that the time is looked at in it."""
        first, config = self.course.steps, self.config
        last = min(first + config.evaluate_every, config.steps)
        block = draws.block(
            self.counts,
            self.seed,
            first,
            steps=last - first,
            batch=config.batch_size,
            label_dropout=config.diffusion.label_dropout,
            mirror=config.augment == "mirror",
            noise_levels=len(self.shares),
        ).to(self.pool.device)
        sums = torch.zeros(2, len(self.counts), device=self.pool.device)
        for step in range(first, last):
            self.clock.check(step, config.steps)
            sums += self._step(step, block, step - first)
        return self._judge(last, sums)

    def _step(self, step: int, block: draws.Draws, at: int) -> Tensor:
        """One optimiser step; the losses and the images of each class, summed."""
        rows, labels, done = block.rows[at], block.labels[at], block.done[at]
        pixels = self.pool[rows].to(torch.float32, memory_format=torch.channels_last).mul_(1 / 255)
        pixels = torch.where(block.mirrored[at][:, None, None, None], pixels.flip(-1), pixels)
        images = augmentation.warp(self.network.standardise(pixels), done)
        chosen = self.classes[labels]
        conditions = torch.cat((chosen * ~block.hidden[at][:, None], done), dim=1)
        noise = draws.noise(images, self.seed, step)
        losses = velocity_losses(self.network, images, noise, block.levels[at], conditions, self.shares)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, self.config.steps, self.config.learning_rate)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True)
        self.optimizer.step()
        follow(self.averaged, self.parameters, decay_at(step + 1, self.config.diffusion.ema, delay=AVERAGING_DELAY))
        # a product of matrices, since adding at indices does not repeat on a GPU
        return torch.stack((losses.detach(), torch.ones_like(losses))) @ chosen

    def _judge(self, done: int, sums: Tensor) -> dict[str, float]:
        """Write a block down: keep its averaged weights, or end a training that left the finite numbers."""
        course = self.course
        size = torch.stack([p.abs().sum() for p in self.averaged]).sum()
        *flat, weights = torch.cat((sums.flatten(), size[None])).tolist()
        losses, seen = flat[: len(self.counts)], flat[len(self.counts) :]
        course.steps = done
        if not math.isfinite(weights) or not all(map(math.isfinite, losses)):
            course.status = "diverged"
            for own, (name, _) in zip(self.averaged, self.network.named_parameters(), strict=True):
                own.copy_(course.weights[name])
            return {}
        course.losses.append((done, [x / n if n else math.nan for x, n in zip(losses, seen, strict=True)]))
        course.weights, course.best_step = self._now(), done
        course.status = "finished" if done >= self.config.steps else None
        return {"loss": sum(losses) / sum(seen)}

    def _now(self) -> Weights:
        names = [name for name, _ in self.network.named_parameters()]
        averaged = {name: value.clone() for name, value in zip(names, self.averaged, strict=True)}
        return averaged | dict(self.network.named_buffers())


def train(
    network: Denoiser,
    pool: Tensor,
    counts: list[int],
    signal_shares: Tensor,
    config: GeneratorConfig,
    *,
    seed: int,
    fingerprint: str,
    progress: Progress,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> Course:
    """Train to the end, from the checkpoint where there is one of the same `fingerprint`.

    Args:
        network: freshly initialised, on the device of `pool`.
        pool: uint8 (n, channels, size, size), class after class.
        counts: images of each class.
        signal_shares: of each level of noise.
        config: steps, batch size and so on.
        seed: where all randomness comes from.
        fingerprint: what the training depends on.
        progress: called after each block.
        checkpoint: offered the state after each block.
        deadline: seconds from now.

    Raises:
        DeadlineError: the time was up.
    """
    clock = Clock(deadline)
    run = _Run(network, pool, counts, signal_shares, config, seed, clock)
    go(run, clock, steps=config.steps, fingerprint=fingerprint, progress=progress, checkpoint=checkpoint)
    return run.course
