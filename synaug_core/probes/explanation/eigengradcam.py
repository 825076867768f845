"""EigenGradCAM: the first principal component of gradient x activation, with its sign fixed; and the layer to look at,
the last of a network that still knows where things are, found by watching one image pass."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from synaug_core.classify.model import as_float, evaluating
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.errors import ConfigError

__all__ = [
    "LEAST_SIDE",
    "MapLayer",
    "NoMapsError",
    "eigen_grad_cam",
    "find_layer",
    "first_component",
    "hooked",
    "oriented",
    "scaled",
]

LEAST_SIDE = 6
"""Least side of a map: a 28 px image at 7 x 7 shows a place, at 4 x 4 it does not."""

_FALLBACKS = (LEAST_SIDE, 4, 2)
_FLAT = 1e-6
"""Below this share of the largest value the map is rounding error."""
_BATCH = 64


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

    A layer inside a block with a shortcut shows only a part of what the network sees; such layers are found by cutting
    the graph at them: where a gradient still reaches the image, something goes around. In a network whose last stage
    is too coarse this gives the end of the stage before. Where no layer has `LEAST_SIDE` cells (tiny images, large
    patches), the last one with 4, then 2, is taken. Of modules with the same output the outermost is named.

    The head of a frozen backbone reads every stage, so that something goes around each but the first. There it is the
    last stage with so many cells, and its maps lack what earlier stages add to a logit.

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
        if stages := getattr(model, "stages", ()):
            maps = [_as_map(name, shapes[name]) for name in reversed(stages) if name in shapes]
            sides = [(least, layer) for least in _FALLBACKS for layer in maps if layer and layer.side >= least]
            if sides:
                return sides[0][1]
        for smallest_side in _FALLBACKS:
            for name, shape in reversed(shapes.items()):
                layer = _as_map(name, shape)
                if len(shape) != 3 and (layer is None or layer.side < smallest_side):
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
    shapes: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            shapes.append((name, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return module.register_forward_hook(note)

    with hooked(*[watch(name, module) for name, module in modules.items() if name]), torch.no_grad():
        model(image)
    runs = Counter(name for name, _ in shapes)
    return {name: shape for name, shape in shapes if shape and runs[name] == 1}


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


def eigen_grad_cam(
    classifier: TrainedClassifier,
    images: Tensor,
    targets: Tensor,
    *,
    layer: MapLayer | None = None,
    device: torch.device | str | None = None,
) -> NDArray[np.float32]:
    """Where in an image a classifier finds evidence for a class.

    The gradient of the class's logit at a convolution layer, times the layer's activations, gives each place a vector
    of channels. The projection of the places on their first principal component is the map, as in `EigenGradCAM` of
    pytorch-grad-cam 1.5 (Gildenblat et al.; EigenCAM: Muhammad and Yeasin, arXiv 2008.00299). As there, the vectors
    are centred over the places, negative values become 0, and a map is scaled to [0, 1] by itself; the sign, which is
    arbitrary there, is fixed here (see `oriented`). Of an ensemble it is the mean of its networks' maps. A map says
    where, not how much: maps of a sure and of an unsure classifier both reach 1.

    Args:
        classifier: left as it was: weights, gradients, mode; moved to `device` where one is given.
        images: uint8 (n, channels, size, size).
        targets: int64 (n,), the class that is explained in each image.
        layer: where to look; None finds it (see `layers.find_layer`).
        device: None computes where the classifier is.

    Returns:
        float32 (n, size, size) in [0, 1]. All 0 where the layer has no influence on the logit, or the same everywhere.

    Raises:
        ValueError: images or targets of another dtype or shape, or a class that is not there.
        NoMapsError: a network without maps.
    """
    _check(classifier, images, targets)
    model = classifier.model if device is None else classifier.model.to(device)
    if layer is None:
        layer = find_layer(model.networks[0], channels=classifier.channels, size=classifier.size)
    maps = np.zeros((len(images), *images.shape[2:]), dtype=np.float32)
    with evaluating(model):
        for start in range(0, len(images), _BATCH):
            part = slice(start, start + _BATCH)
            of_networks = []
            for network in model.networks:
                weighted = _gradient_x_activation(network, layer, images[part], targets[part])
                of_networks.append(scaled(oriented(first_component(weighted), weighted), classifier.size))
            maps[part] = _filled(torch.stack(of_networks).mean(0)).numpy()
    return maps


def first_component(weighted: Tensor) -> Tensor:
    """Projection of each place on the first principal component of all places of its image; the sign is arbitrary.

    Args:
        weighted: float64 (n, channels, h, w) on the CPU.

    Returns:
        float64 (n, h, w), of mean 0 in each image; 0 where all places are alike.
    """
    n, _, h, w = weighted.shape
    places = weighted.flatten(2)
    size = places.abs().amax(dim=(1, 2), keepdim=True)
    places = places / torch.where(size > 0, size, 1)  # gradients may be tiny, their squares tinier
    places = places - places.mean(dim=2, keepdim=True)
    values, vectors = torch.linalg.eigh(places.transpose(1, 2) @ places)  # h w x h w: fewer places than channels
    strength = values[:, -1].clamp_min(0).sqrt()
    strength = torch.where(strength > _FLAT, strength, 0) * size.flatten()
    component: Tensor = vectors[:, :, -1] * strength[:, None]
    return component.view(n, h, w)


def oriented(component: Tensor, weighted: Tensor) -> Tensor:
    """The component or its negative: the one that rises where the plain sum over the channels rises.

    Gradient x activation, summed over the channels, is to first order what a place adds to the logit, so bright means
    evidence for the class. Where the two are uncorrelated, the side that reaches farther is the bright one.

    Args:
        component: float (n, h, w), of mean 0.
        weighted: float (n, channels, h, w).

    Returns:
        float (n, h, w), the same for `component` and `-component`.
    """
    flat, total = component.flatten(1), weighted.sum(1).flatten(1)
    total = total - total.mean(1, keepdim=True)
    agreement = (flat * total).sum(1)
    unclear = agreement.abs() <= _FLAT * flat.norm(dim=1) * total.norm(dim=1)
    sign = torch.where(unclear, flat.amax(1) + flat.amin(1), agreement).sign()
    return component * torch.where(sign == 0, 1, sign)[:, None, None]


def scaled(component: Tensor, size: int) -> Tensor:
    """Negative values to 0, bilinear to (n, size, size), each map to [0, 1] by itself; a flat map is 0. float32."""
    positive = component.clamp_min(0)[:, None]
    maps: Tensor = F.interpolate(positive, size=(size, size), mode="bilinear", align_corners=False)[:, 0]
    return _filled(maps - maps.amin(dim=(1, 2), keepdim=True)).float()


def _filled(maps: Tensor) -> Tensor:
    """Maps that are not negative, each with a largest value of 1 or flat at 0."""
    top = maps.amax(dim=(1, 2), keepdim=True)
    return maps / torch.where(top > 0, top, 1)


def _gradient_x_activation(model: nn.Module, layer: MapLayer, images: Tensor, targets: Tensor) -> Tensor:
    """float64 (n, channels, side, side) on the CPU, where equal inputs give equal eigenvectors."""
    activations: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        activations.append(output)
        return output.clone()  # what follows may change its input in place

    device = next(model.parameters()).device
    with torch.enable_grad(), hooked(model.get_submodule(layer.name).register_forward_hook(keep)):
        pixels = as_float(images.to(device)).requires_grad_()  # so that frozen networks have gradients too
        logits: Tensor = model(pixels)
        picked = logits.gather(1, targets.to(device)[:, None]).sum()
        [activation] = activations
        [gradient] = torch.autograd.grad(picked, activation)
    weighted = (gradient * activation.detach()).cpu().double()
    return weighted.permute(0, 3, 1, 2) if layer.channels_last else weighted


def _check(classifier: TrainedClassifier, images: Tensor, targets: Tensor) -> None:
    classifier.check(images)
    if targets.dtype != torch.int64 or targets.shape != (len(images),):
        raise ValueError(f"targets: int64 ({len(images)},) expected, got {targets.dtype} {tuple(targets.shape)}")
    if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < len(classifier.classes)):
        raise ValueError("targets: an index is outside the classes")
