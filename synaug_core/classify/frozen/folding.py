"""A frozen network that computes less: the scale and shift of batch normalisation become part of the convolution before
it, which in evaluation is the same function."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["fold_normalisation"]

_TOLERANCE = 1e-3
"""Largest difference of an output, relative to the largest output, at which two networks are the same function."""


def fold_normalisation(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy of the network, in evaluation mode, whose convolutions do what batch normalisation did after them.

    Pairs are learnt from a pass of the example: a normalisation whose input is the output of a convolution. Outputs
    differ in their last digits. Where they differ by more, because the network uses what a convolution gives elsewhere
    too, or a normalisation does more than is known here, the copy is the network as it is.

    Args:
        network: any; it stays as it is.
        example: float (n, channels, h, w) that it takes.

    Returns:
        The copy, whose parameters need no gradient.
    """
    plain, folded = (copy.deepcopy(network).requires_grad_(False).eval() for _ in range(2))
    with torch.no_grad():
        pairs = _convolutions_before(folded, example)
        parents = {child: (parent, name) for parent in folded.modules() for name, child in parent.named_children()}
        for normalisation, convolution in pairs.items():
            _absorb(convolution, normalisation)
            parent, name = parents[normalisation]
            setattr(parent, name, _rest_of(normalisation))
        expected, output = plain(example), folded(example)
    is_same = bool((output - expected).abs().max() <= _TOLERANCE * expected.abs().max())
    return folded if is_same else plain


def _convolutions_before(network: nn.Module, example: Tensor) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Each normalisation that can be folded, and the convolution whose output it takes."""
    sources: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is held, or its id would be given again
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}

    def note_output(module: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            sources[id(output)] = (module, output)

    def note_input(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.BatchNorm2d) and (source := sources.get(id(inputs[0]))) is not None:
            pairs[module] = source[0]

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(note_input))
    network(example)
    for hook in hooks:
        hook.remove()
    return pairs


def _absorb(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    """Scale and shift the convolution's weights as the normalisation would its output."""
    mean, variance = (normalisation.get_buffer(name).double() for name in ("running_mean", "running_var"))
    scale = (variance + normalisation.eps).rsqrt()
    if normalisation.affine:
        scale = scale * normalisation.weight.double()
    shift = -mean * scale if convolution.bias is None else (convolution.bias.double() - mean) * scale
    if normalisation.affine:
        shift = shift + normalisation.bias.double()
    weight = convolution.weight
    convolution.weight = nn.Parameter((weight.double() * scale.view(-1, 1, 1, 1)).to(weight), requires_grad=False)
    convolution.bias = nn.Parameter(shift.to(weight), requires_grad=False)


def _rest_of(normalisation: nn.BatchNorm2d) -> nn.Module:
    """What the module does beside normalising: in image networks, an activation of its own."""
    return nn.Sequential(*(part for name, part in normalisation.named_children() if name in ("drop", "act")))
