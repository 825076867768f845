"""The networks of a training, their optimisers and one step of each."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from synaug_core.config import GeneratorConfig
from synaug_core.generators.averaging import decay_at, follow
from synaug_core.generators.gan.augmentation import augment
from synaug_core.generators.gan.draws import Draws
from synaug_core.generators.gan.losses import discriminator_hinge, gradient_penalty
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights, copied, make_optimizer
from synaug_core.nets.gan import Discriminator, ImageGenerator
from synaug_core.seeds import derive, seeded_init

__all__ = ["Networks"]

_BETAS = (0.0, 0.99)


class Networks:
    """Generator, its average and the discriminator on the pool's device.

    Args:
        pool: the images that the rows of `Draws` point into.
        classes: how many.
        channels: 1 or 3.
        size: side length in pixels.
        config: widths, rates, weights of the losses.
        seed: of the first weights.
    """

    def __init__(
        self, pool: Pool, *, classes: int, channels: int, size: int, config: GeneratorConfig, seed: int
    ) -> None:
        with seeded_init(derive(seed, "init")):
            generator = ImageGenerator(classes, channels, size, config.width, config.latent_dim)
            discriminator = Discriminator(classes, channels, size, config.width)
        self.pool, self.config = pool, config
        self.generator = generator.to(pool.device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(pool.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        rate = config.learning_rate
        self._generator_step = make_optimizer(list(self.generator.parameters()), rate, _BETAS)
        self._discriminator_step = make_optimizer(
            list(self.discriminator.parameters()), rate * config.gan.discriminator_rate, _BETAS
        )

    def train(self, draws: Draws, first: int) -> Tensor:
        """A step of each network for each row of `draws`, the first of them number `first` counted from 0.

        Returns:
            float32 (3,) on the device: discriminator's and generator's loss, means over the steps, and the gradient
            penalty before its weight, mean over the steps that took one (0 where none did).
        """
        sums = torch.zeros(3, device=self.pool.device)
        penalties = 0
        for i in range(len(draws.labels)):
            labels = draws.labels[i]
            penalised = self.config.gan.r1 > 0 and (first + i) % self.config.gan.r1_every == 0
            penalties += penalised
            real = self.pool.batch(draws.rows[i], None if draws.mirrored is None else draws.mirrored[i]) * 2 - 1
            sums += torch.stack(
                (
                    *self._judge(real, labels, draws.latents[i, 0], draws.chances[i, :2], penalised=penalised),
                    self._make(labels, draws.latents[i, 1], draws.chances[i, 2]),
                )
            )[[0, 2, 1]]
            decay = decay_at(first + i + 1, self.config.gan.ema)
            follow(list(self.average.parameters()), list(self.generator.parameters()), decay)
        counts = torch.tensor([len(draws.labels), len(draws.labels), max(1, penalties)], device=sums.device)
        return sums / counts

    def _judge(
        self, real: Tensor, labels: Tensor, z: Tensor, chances: Tensor, *, penalised: bool
    ) -> tuple[Tensor, Tensor]:
        """A step of the discriminator; its hinge loss and the penalty."""
        with torch.no_grad():
            made = self.generator(z, labels)
        shown = self._show(torch.cat((real, made)), chances.flatten(0, 1)).requires_grad_(penalised)
        scores = self.discriminator(shown, labels.repeat(2))
        on_real, on_made = scores.chunk(2)
        loss = discriminator_hinge(on_real, on_made)
        # images of a batch do not meet in the discriminator: the made ones' gradients are 0 here, and half the mean
        penalty = 2 * gradient_penalty(on_real, shown) if penalised else torch.zeros_like(loss)
        weight = 0.5 * self.config.gan.r1 * self.config.gan.r1_every
        self._descend(loss + weight * penalty, self.discriminator, self._discriminator_step)
        return loss.detach(), penalty.detach()

    def _make(self, labels: Tensor, z: Tensor, chances: Tensor) -> Tensor:
        """A step of the generator; its loss."""
        self.discriminator.requires_grad_(False)  # spares the gradients of its weights
        loss: Tensor = -self.discriminator(self._show(self.generator(z, labels), chances), labels).mean()
        self.discriminator.requires_grad_(True)
        self._descend(loss, self.generator, self._generator_step)
        return loss.detach()

    def _show(self, images: Tensor, chances: Tensor) -> Tensor:
        seen = augment(images, chances, self.config.gan.augmentation)
        return seen.contiguous(memory_format=torch.channels_last)

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.clip, foreach=True)
        optimizer.step()

    def averaged(self) -> Weights:
        """A copy of the averaged weights, on the CPU."""
        return {name: value.cpu() for name, value in copied(self.average.state_dict()).items()}

    def state(self) -> dict[str, Any]:
        """Everything that a training needs to go on, for `load_state`."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "generator_step": self._generator_step,
            "discriminator_step": self._discriminator_step,
        }
