"""timm's networks as feature extractors; the only file that knows timm."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import timm.layers
import torch
from torch import Tensor, nn

from synaug_core.classify import weights
from synaug_core.config.classifier import Initialisation, Stem
from synaug_core.errors import ConfigError, WeightsError

__all__ = ["SMALL_STEM_UP_TO", "Backbone", "backbone", "check_name"]

SMALL_STEM_UP_TO = 48
"""Pixels a side up to which `auto` keeps the resolution in the first layers."""

_POOLS = ("maxpool", "features.pool0")
"""Where ResNets and DenseNets pool behind their first convolution."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor and what it expects.

    Attributes:
        module: normalised float images (n, channels, size, size) to features (n, width).
        width: features it gives.
        channels: channels it takes; 3 where grey images have to be repeated.
        mean, std: the normalisation its pretrained weights expect; None where it has none.
    """

    module: nn.Module
    width: int
    channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ConfigError: it is unknown; the nearest names are told.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, ["small_cnn", *timm.list_models()], n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(close)}" if close else ""
        raise ConfigError(f"classifier.backbone: timm has no {name!r}{hint}")


def backbone(
    name: str,
    *,
    channels: int,
    size: int,
    stem: Stem,
    initialisation: Initialisation = "timm",
    pretrained: bool,
    weights_file: Path | None = None,
    fetch: bool = True,
) -> Backbone:
    """A timm network without its head. Call inside `seeds.seeded_init`: initialisers draw from the global stream.

    The small stem sets the first convolution's stride to 1 and drops the max-pooling behind it; a network that
    starts from scratch also gets a 3x3 kernel for a 7x7 one (as ResNets for CIFAR have it), one that starts from
    pretrained weights keeps its kernel, so that all weights fit.

    Args:
        name: timm's name, with or without the tag of its weights.
        channels: of the images.
        size: of the images, pixels a side.
        stem: as in the configuration.
        initialisation: likewise; pretrained weights replace either.
        pretrained: the network is the one that takes pretrained weights: three channels, their normalisation.
        weights_file: where they are; None asks timm's hub.
        fetch: False builds the network and leaves the weights to the caller.

    Raises:
        ConfigError: an unknown name, or a network that cannot take these images or this stem.
        WeightsError: weights that cannot be had or do not fit.
    """
    check_name(name)
    facts = timm.get_pretrained_cfg(name)
    rigid = facts is not None and facts.fixed_input_size
    inputs = 3 if pretrained else channels
    module = _create(name, inputs, size if rigid else None)
    _still(module)
    if stem == "small" or (stem == "auto" and size <= SMALL_STEM_UP_TO):
        path = facts.first_conv if facts is not None and not rigid else None
        _fit_stem(module, name, path if isinstance(path, str) else None, forced=stem == "small", keep_kernel=pretrained)
    if initialisation == "torch" and not pretrained:
        _as_torch_does(module)
    width = _probe(module, name, inputs, size, stem)
    if not pretrained:
        return Backbone(module, width, inputs)
    if facts is None or (weights_file is None and fetch and not facts.hf_hub_id):
        raise WeightsError(f"timm's hub has no weights of {name}; {weights.ADVICE}")
    if fetch:
        file = weights_file or weights.hub_file(str(facts.hf_hub_id), name)
        heads = (facts.classifier,) if isinstance(facts.classifier, str) else tuple(facts.classifier or ())
        weights.load_backbone(module, weights.read(file), name=name, head=heads)
    return Backbone(module, width, inputs, tuple(facts.mean), tuple(facts.std))


def _create(name: str, channels: int, size: int | None) -> nn.Module:
    """`size` is for networks that are built for one image size (transformers)."""
    options: dict[str, Any] = {} if size is None else {"img_size": size}
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        at = f" for {size} px images" if size else ""
        raise ConfigError(f"classifier.backbone: {name} cannot be built{at} ({_line(error)})") from error
    return module


def _still(module: nn.Module) -> None:
    """No dropout but the classifier's own: the others would draw from the global random stream."""
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
        if isinstance(part, timm.layers.DropPath):
            part.drop_prob = 0.0


def _fit_stem(module: nn.Module, name: str, path: str | None, *, forced: bool, keep_kernel: bool) -> None:
    """`path` names the first convolution; None where the network's shape hangs on its stride."""
    first = module.get_submodule(path) if path else None
    if path is None or not isinstance(first, nn.Conv2d) or first.stride != (2, 2):
        if forced:
            raise ConfigError(f"classifier.stem: {name} has no stem that can be made small; use standard or auto")
        return
    if first.kernel_size == (7, 7) and not keep_kernel:
        plain = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
        nn.init.kaiming_normal_(plain.weight, mode="fan_out", nonlinearity="relu")
        module.set_submodule(path, plain)
    else:
        first.stride = (1, 1)
    for pool in _POOLS:
        if pool in dict(module.named_modules()) and not list(module.get_submodule(pool).parameters()):
            module.set_submodule(pool, nn.Identity())


def _as_torch_does(module: nn.Module) -> None:
    """The defaults of PyTorch's layers; timm draws convolutions wider and starts each residual branch at zero."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()


def _probe(module: nn.Module, name: str, channels: int, size: int, stem: str) -> int:
    """The number of features, found by one pass."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            out: Tensor = module(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        message = f"classifier.backbone: {name} cannot take {size} px images with the {stem} stem ({_line(error)})"
        raise ConfigError(message) from error
    module.train(was_training)
    if out.ndim != 2 or out.numel() == 0:
        raise ConfigError(f"classifier.backbone: {name} gives no pooled features for {size} px images")
    return out.shape[1]


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
