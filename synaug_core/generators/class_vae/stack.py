"""All classes as one stacked model: one kernel launch serves every class, which is what a GPU needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from synaug_core.generators.class_vae.executor import Executor
from synaug_core.generators.draws import Draws
from synaug_core.generators.elbo import negative_log_likelihood, terms
from synaug_core.generators.pool import Pool
from synaug_core.generators.weights import Weights, make_optimizer
from synaug_core.nets.vae import ConvVAE

__all__ = ["StackExecutor"]


class StackExecutor(Executor):
    """Parameters carry a leading axis of classes; gradients, their clipping and Adam never mix its entries."""

    def __init__(self, pool: Pool, models: Mapping[str, ConvVAE], *, learning_rate: float, clip: float) -> None:
        super().__init__(pool, models, learning_rate=learning_rate, clip=clip)
        modules = [model.to(pool.device) for model in models.values()]
        self._names = list(models)
        parameters, buffers = stack_module_state(modules)
        self._buffers = {key: value.detach().clone() for key, value in buffers.items()}
        self._parameters = {key: value.detach().clone().requires_grad_() for key, value in parameters.items()}
        self._kept = self._copy()
        self._optimizer = make_optimizer(list(self._parameters.values()), learning_rate)
        self._terms = vmap(_terms_of(modules[0]))

    def train(self, draws: Mapping[str, Draws], betas: Sequence[float]) -> Tensor:
        """All classes' steps at once."""
        rows, noise, weights, mirrored = self._padded(draws)
        variance = self._buffers["variance"][:, None]
        sums = torch.zeros(len(self._names), 3, device=self.pool.device)
        for step, beta in enumerate(betas):
            images = self.pool.batch(rows[:, step], None if mirrored is None else mirrored[:, step])
            error, kl = self._terms(self._parameters, images, noise[:, step])
            reconstruction = (negative_log_likelihood(error, variance, self.pixels) * weights).sum(1)
            divergence = (kl.sum(2) * weights).sum(1)
            loss = reconstruction + beta * divergence
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss.sum())
            self._clip()
            self._optimizer.step()
            sums += torch.stack((loss, reconstruction, divergence), dim=1).detach()
        return sums / len(betas)

    @torch.no_grad()
    def examine(self, draws: Mapping[str, Draws]) -> Tensor:
        """One batch of each class, all at once."""
        rows, noise, weights, _ = self._padded(draws)
        images = self.pool.batch(rows[:, 0], None)
        error, kl = self._terms(self._parameters, images, noise[:, 0])
        return torch.stack(((error * weights).sum(1), (kl.sum(2) * weights).sum(1)), dim=1)

    @torch.no_grad()
    def set_variances(self, variances: Mapping[str, float]) -> None:
        """Set the likelihood's variance of each class."""
        values = self._buffers["variance"]
        wanted = [variances.get(name, -1.0) for name in self._names]
        new = torch.tensor(wanted, dtype=values.dtype, device=values.device)
        values.copy_(torch.where(new > 0, new, values))

    @torch.no_grad()
    def keep(self, classes: Collection[str]) -> None:
        """Copy these classes' weights."""
        chosen = torch.tensor([name in classes for name in self._names], device=self.pool.device)
        for key, value in self._now().items():
            mask = chosen.view(-1, *[1] * (value.ndim - 1))
            self._kept[key] = torch.where(mask, value.detach(), self._kept[key])

    def drop(self, name: str) -> Weights:
        """Forget a class but for the weights last kept."""
        gone = self._names.index(name)
        kept = {key: value[gone].cpu().clone() for key, value in self._kept.items()}
        left = [i for i in range(len(self._names)) if i != gone]
        self._names.pop(gone)
        if left:
            self._select(left)
        return kept

    def state(self) -> dict[str, Any]:
        """All models, optimisers and kept weights."""
        return {
            "names": list(self._names),
            "parameters": {key: value.detach() for key, value in self._parameters.items()},
            "buffers": self._buffers,
            "kept": self._kept,
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        device = self.pool.device
        self._names = list(state["names"])
        self._parameters = {k: v.to(device).clone().requires_grad_() for k, v in state["parameters"].items()}
        self._buffers = {k: v.to(device).clone() for k, v in state["buffers"].items()}
        self._kept = {k: v.to(device).clone() for k, v in state["kept"].items()}
        self._optimizer = make_optimizer(list(self._parameters.values()), self.learning_rate)
        self._optimizer.load_state_dict(state["optimizer"])

    def _now(self) -> Weights:
        return {**self._parameters, **self._buffers}

    def _copy(self) -> Weights:
        return {key: value.detach().clone() for key, value in self._now().items()}

    def _select(self, left: list[int]) -> None:
        """Keep these classes' slices of everything, Adam's moments included."""
        optimizer_state = self._optimizer.state_dict()
        moments = {
            index: {k: v[left] if v.ndim else v for k, v in of_one.items()}
            for index, of_one in optimizer_state["state"].items()
        }
        self._parameters = {k: v.detach()[left].clone().requires_grad_() for k, v in self._parameters.items()}
        self._buffers = {k: v[left] for k, v in self._buffers.items()}
        self._kept = {k: v[left] for k, v in self._kept.items()}
        self._optimizer = make_optimizer(list(self._parameters.values()), self.learning_rate)
        self._optimizer.load_state_dict({**optimizer_state, "state": moments})

    @torch.no_grad()
    def _clip(self) -> None:
        """Scale each class's gradient to the norm allowed: a norm over all classes would spread one's NaN to all."""
        gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
        scale = (self.clip / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

    def _padded(self, draws: Mapping[str, Draws]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Draws stacked over the classes; shorter batches are filled up with images of weight 0."""
        chosen = [draws[name] for name in self._names]
        batch = max(d.rows.shape[1] for d in chosen)
        gaps = [batch - d.rows.shape[1] for d in chosen]
        rows = torch.stack([F.pad(d.rows, (0, g)) for d, g in zip(chosen, gaps, strict=True)])
        noise = torch.stack([F.pad(d.noise, (0, 0, 0, g)) for d, g in zip(chosen, gaps, strict=True)])
        ones = [torch.ones(batch - g, device=self.pool.device) / (batch - g) for g in gaps]
        weights = torch.stack([F.pad(o, (0, g)) for o, g in zip(ones, gaps, strict=True)])
        flips = [F.pad(d.mirrored, (0, g)) for d, g in zip(chosen, gaps, strict=True) if d.mirrored is not None]
        return rows, noise, weights, torch.stack(flips) if flips else None


def _terms_of(base: ConvVAE) -> Callable[[Weights, Tensor, Tensor], tuple[Tensor, Tensor]]:
    def one_class(parameters: Weights, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        decoded, mean, log_variance = functional_call(base, parameters, (images, noise))
        return terms(images, decoded, mean, log_variance)

    return one_class
