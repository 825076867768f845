"""Which layer of a network still knows where things are, found by watching one image pass."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synaug_core.classify.model import evaluating
from synaug_core.errors import ConfigError

__all__ = ["LEAST_SIDE", "MapLayer", "NoMapsError", "find_layer", "hooked"]

LEAST_SIDE = 6
"""Least side of a map: a 28 px image at 7 x 7 shows a place, at 4 x 4 it does not."""

_FALLBACKS = (LEAST_SIDE, 4, 2)


class NoMapsError(ConfigError):
    """The network keeps no map of the image through which everything passes."""


@dataclass(frozen=True)
class MapLayer:
    """A layer through which everything that the network sees passes, and whose output still has two axes of place.

    Attributes:
        name: of the module within the classifier.
        side: of its output, in cells.
        channels: of its output.
        channels_last: its output is (n, side, side, channels), not (n, channels, side, side).
    """

    name: str
    side: int
    channels: int
    channels_last: bool = False

    def __str__(self) -> str:
        return f"{self.name.removeprefix('backbone.')} ({self.side} x {self.side})"


def find_layer(model: nn.Module, *, channels: int, size: int) -> MapLayer:
    """The last layer whose output has at least `LEAST_SIDE` cells a side, and that nothing goes around.

    A layer inside a block with a shortcut shows only a part of what the network sees; such layers are told by cutting
    the graph at them: where a gradient still reaches the image, something goes around. In a network whose last stage
    is too coarse this gives the end of the stage before. Where no layer has `LEAST_SIDE` cells (tiny images, large
    patches), the last one with 4, then 2, is taken. Of modules with the same output the outermost is named.

    Args:
        model: float images in [0, 1], (1, channels, size, size), to logits (1, classes). It is left as it was.
        channels: of the images.
        size: of the images, pixels a side.

    Raises:
        NoMapsError: a network that turns the image into a sequence (a plain vision transformer), or keeps no map.
    """
    modules = dict(model.named_modules())
    with evaluating(model), torch.enable_grad():
        image = torch.zeros(1, channels, size, size, device=_device(model)).requires_grad_()
        shapes = _shapes(model, modules, image.detach())
        cuts: dict[str, bool] = {}
        for least in _FALLBACKS:
            for name, shape in reversed(shapes.items()):
                layer = _as_map(name, shape)
                if len(shape) != 3 and (layer is None or layer.side < least):
                    continue
                if name not in cuts:
                    cuts[name] = _everything_passes(model, modules[name], image)
                if not cuts[name]:
                    continue
                if layer is None:
                    raise NoMapsError(
                        "the network turns the image into a sequence of patches (a transformer), "
                        "so there is no map of where it looks; convolutional backbones have one"
                    )
                return layer
    raise NoMapsError(f"the network keeps no map of a {size} px image: its layers shrink it to a point at once")


@contextlib.contextmanager
def hooked(*handles: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Hooks that are gone when the block ends, however it ends."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _shapes(model: nn.Module, modules: dict[str, nn.Module], image: Tensor) -> dict[str, tuple[int, ...]]:
    """Output shape of every module that ran once and gave a tensor, in the order in which they ended."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            found.append((name, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return module.register_forward_hook(note)

    with hooked(*[watch(name, module) for name, module in modules.items() if name]), torch.no_grad():
        model(image)
    runs = Counter(name for name, _ in found)
    return {name: shape for name, shape in found if shape and runs[name] == 1}


def _as_map(name: str, shape: tuple[int, ...]) -> MapLayer | None:
    if len(shape) != 4:
        return None
    if shape[2] == shape[3]:
        return MapLayer(name, shape[2], shape[1])
    if shape[1] == shape[2]:
        return MapLayer(name, shape[1], shape[3], channels_last=True)
    return None


def _everything_passes(model: nn.Module, module: nn.Module, image: Tensor) -> bool:
    def cut(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output.detach().clone()  # a copy: what follows may change its input in place

    with hooked(module.register_forward_hook(cut)):
        logits: Tensor = model(image)
    if not logits.requires_grad:
        return True
    return torch.autograd.grad(logits.sum(), image, allow_unused=True)[0] is None
