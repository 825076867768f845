"""One class after the other, each with modules and an optimiser of its own: classes cannot touch each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synaug_core.generators.class_vae.executor import Executor
from synaug_core.generators.draws import Draws
from synaug_core.generators.elbo import negative_log_likelihood, terms
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights, copied, make_optimizer
from synaug_core.nets.vae import ConvVAE

__all__ = ["LoopExecutor"]


@dataclass
class _Trained:
    model: ConvVAE
    optimizer: torch.optim.Adam
    kept: Weights


class LoopExecutor(Executor):
    """The fastest way on a CPU, where one class's kernels already fill the cores."""

    def __init__(self, pool: Pool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        super().__init__(pool, models, learning_rate=learning_rate, clip=clip)
        self._classes = {name: self._prepare(model) for name, model in models.items()}

    def _prepare(self, model: ConvVAE) -> _Trained:
        module = model.to(self.pool.device).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(list(module.parameters()), self.learning_rate)
        return _Trained(module, optimizer, copied(module.state_dict()))

    def train(self, draws: Mapping[str, Draws], betas: Sequence[float]) -> Tensor:
        """Each class's steps, one class after the other."""
        return torch.stack([self._train(self._classes[name], draws[name], betas) for name in self._classes])

    def _train(self, trained: _Trained, draws: Draws, betas: Sequence[float]) -> Tensor:
        model, optimizer = trained.model, trained.optimizer
        parameters = list(model.parameters())
        sums = torch.zeros(3, device=self.pool.device)
        for step, beta in enumerate(betas):
            mirrored = None if draws.mirrored is None else draws.mirrored[step]
            images = self.pool.batch(draws.rows[step], mirrored)
            error, kl = terms(images, *model(images, draws.noise[step]))
            reconstruction = negative_log_likelihood(error, model.variance, self.pixels).mean()
            divergence = kl.sum(1).mean()
            loss = reconstruction + beta * divergence
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, self.clip, foreach=True)
            optimizer.step()
            sums += torch.stack((loss, reconstruction, divergence)).detach()
        return sums / len(betas)

    @torch.no_grad()
    def examine(self, draws: Mapping[str, Draws]) -> Tensor:
        """One batch of each class."""
        found = []
        for name, trained in self._classes.items():
            images = self.pool.batch(draws[name].rows[0], None)
            error, kl = terms(images, *trained.model(images, draws[name].noise[0]))
            found.append(torch.stack((error.mean(), kl.sum(1).mean())))
        return torch.stack(found)

    @torch.no_grad()
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""
        for name, variance in variances.items():
            self._classes[name].model.variance.fill_(variance)

    def keep(self, classes: Collection[str]) -> None:
        """Copy these classes' weights."""
        for name in classes:
            trained = self._classes[name]
            for key, value in trained.model.state_dict().items():
                trained.kept[key].copy_(value)

    def drop(self, name: str) -> Weights:
        """Forget a class but for the weights last kept."""
        return {key: value.cpu() for key, value in self._classes.pop(name).kept.items()}

    def state(self) -> dict[str, Any]:
        """All models, optimisers and kept weights."""
        return {
            name: {"model": t.model.state_dict(), "optimizer": t.optimizer.state_dict(), "kept": t.kept}
            for name, t in self._classes.items()
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._classes = {name: t for name, t in self._classes.items() if name in state}
        for name, trained in self._classes.items():
            trained.model.load_state_dict(state[name]["model"])
            trained.optimizer.load_state_dict(state[name]["optimizer"])
            for key, value in state[name]["kept"].items():
                trained.kept[key].copy_(value)
