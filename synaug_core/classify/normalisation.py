"""Batch normalisation's running statistics: recomputed on images that are like those to come."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from synaug_core.classify.model import Classifier, evaluating

__all__ = ["recompute_statistics", "untracked", "with_statistics_of"]

Features = Callable[[Tensor], object]


@torch.no_grad()
def recompute_statistics(model: nn.Module, batches: Iterable[Tensor], features: Features) -> None:
    """Set the running statistics of every batch normalisation that is not settled to the moments of these images.

    PreciseBN (Wu and Johnson, "Rethinking Batch in BatchNorm", arXiv 2105.07576, section 3): one pass in which each
    batch is normalised by its own moments; mean `E[mu_B]`, variance `E[mu_B^2 + var_B] - E[mu_B]^2`. Weights, modes
    and everything random stay as they are; without batches, or without batch normalisation, so does the model.

    Args:
        model: changed in place.
        batches: images as `features` takes them, 2 or more in each.
        features: a pass through all layers of batch normalisation, such as `Classifier.features`.
    """
    layers = _batch_norms(model)
    moments: dict[nn.Module, list[tuple[int, Tensor, Tensor]]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        mean, variance = layer.get_buffer("running_mean").double(), layer.get_buffer("running_var").double()
        moments[layer].append((inputs[0].numel() // len(mean), mean, variance))

    momenta = [layer.momentum for layer in layers]
    counts = [layer.num_batches_tracked.clone() for layer in layers if layer.num_batches_tracked is not None]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with evaluating(model):
            for layer in layers:
                layer.training, layer.momentum = True, 1.0  # the running statistics are the last batch's own
            for images in batches if layers else ():
                features(images)
    finally:
        for layer, momentum, hook in zip(layers, momenta, hooks, strict=True):
            layer.momentum = momentum
            hook.remove()
        tracked = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
        for counter, count in zip(tracked, counts, strict=True):
            counter.copy_(count)
    for layer in layers:
        if moments[layer]:
            mean, variance = _pooled(moments[layer])
            layer.get_buffer("running_mean").copy_(mean)
            layer.get_buffer("running_var").copy_(variance)


@contextlib.contextmanager
def with_statistics_of(model: nn.Module, batches: Iterable[Tensor], features: Features) -> Iterator[None]:
    """Within the block the running statistics are those of `batches`; afterwards the former ones."""
    buffers = [buffer for layer in _batch_norms(model) for buffer in layer.buffers(recurse=False)]
    former = [buffer.clone() for buffer in buffers]
    try:
        recompute_statistics(model, batches, features)
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, former, strict=True):
                buffer.copy_(value)


@contextlib.contextmanager
def untracked(model: nn.Module) -> Iterator[None]:
    """Within the block, batches in training mode leave the running statistics as they are."""
    layers = _batch_norms(model)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers with running statistics, timm's own kinds among them, but those whose statistics are settled."""
    settled = model.settled if isinstance(model, Classifier) else frozenset()
    return [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and name not in settled
    ]


def _pooled(moments: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of all values, from those of the batches, each (channels,)."""
    count = sum(n for n, _, _ in moments)
    mean = sum((n * m for n, m, _ in moments), start=torch.zeros_like(moments[0][1])) / count
    squares = sum((n * m**2 + (n - 1) * v for n, m, v in moments), start=torch.zeros_like(mean))
    return mean, (squares - count * mean**2).clamp(min=0) / max(1, count - 1)
