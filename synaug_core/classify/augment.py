"""Augmentation of a whole batch at once, on the device the images are on: `traditional`, and `strong` beyond it.

From top to bottom: the share of a batch that is changed, the one resampling with all that moves pixels, and what
`strong` adds: colour, one random operation for each image, blur, noise and erasing. All shapes are fixed, and nothing
is read back from the device.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core.config import AugmentationConfig

__all__ = ["augment", "rectangles"]


def augment(
    images: Tensor,
    config: AugmentationConfig,
    stream: torch.Generator,
    kind: Literal["traditional", "strong"] = "traditional",
) -> Tensor:
    """Change a random share of the images; the others stay as they are.

    `traditional`: each image is mirrored, rotated, shifted and resized in one bicubic resampling, then its brightness
    and contrast are changed. `strong` goes on with its colours, one random operation at a random strength (as in
    TrivialAugment, Mueller and Hutter, arXiv 2103.10158, with the operations that the traditional part lacks), blur,
    noise and an erased rectangle. Every image draws its own parameters. What comes in from outside an image is its
    reflection.

    Args:
        images: float, shape (n, c, h, w), values in [0, 1].
        config: the share, the ranges, and the strength that multiplies all of these but the mirroring.
        stream: of the images' device.
        kind: what is done.

    Returns:
        Images of the same shape and dtype, values in [0, 1]; `images` itself is not changed.
    """
    n = len(images)
    order = torch.rand(n, device=images.device, generator=stream).argsort()
    chosen = order[: round(config.probability * n)]
    if not len(chosen):
        return images
    operation = _Operation(len(chosen), config, stream) if kind == "strong" else None
    changed = _traditional(images[chosen].float(), config, operation, stream)
    if operation is not None and config.strength > 0:
        changed = _strong(changed, config, operation, stream)
    return images.index_copy(0, chosen, changed.to(images.dtype))


def _traditional(
    images: Tensor, config: AugmentationConfig, operation: "_Operation | None", stream: torch.Generator
) -> Tensor:
    n, s = len(images), config.strength
    u = torch.rand(8, n, device=images.device, generator=stream) * 2 - 1
    ones = torch.ones_like(u[0])
    x_sign = torch.where(u[6] < 0, -1.0, 1.0) if config.mirror != "none" else ones
    y_sign = torch.where(u[7] < 0, -1.0, 1.0) if config.mirror == "both" else ones
    moves = any((config.rotation, config.scale, config.translation, operation is not None and config.operation))
    if s == 0 or not moves:
        images = torch.where(x_sign.view(n, 1, 1, 1) < 0, images.flip(-1), images)
        images = torch.where(y_sign.view(n, 1, 1, 1) < 0, images.flip(-2), images)
    else:
        angle = u[0] * (math.radians(config.rotation) * s)
        zoom = (1 + config.scale * s) ** u[1]
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        x_shear, y_shear = operation.shears() if operation is not None else (0 * ones, 0 * ones)
        # grid_sample's coordinates run over [-1, 1], so a shift of one side is 2
        shift = u[2:4] * (2 * config.translation * s)
        x_row = (cos * x_sign - sin * y_shear, cos * x_shear - sin * y_sign, shift[0])
        y_row = (sin * x_sign + cos * y_shear, sin * x_shear + cos * y_sign, shift[1])
        theta = torch.stack((*x_row, *y_row), dim=1).view(n, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = ((1 + config.contrast * s) ** u[4]).view(n, 1, 1, 1)
    brightness = (u[5] * (config.brightness * s)).view(n, 1, 1, 1)
    if s == 0 or not (config.contrast or config.brightness):
        return images.clamp(0, 1)
    return ((images - level) * contrast + level + brightness).clamp_(0, 1)


def _strong(images: Tensor, config: AugmentationConfig, operation: "_Operation", stream: torch.Generator) -> Tensor:
    n, s = len(images), config.strength
    u = torch.rand(8, n, device=images.device, generator=stream)
    if config.color and images.shape[1] == 3:
        images = _recoloured(
            images, (2 * u[0] - 1) * (math.pi * config.color * s), (1 + config.color * s) ** (2 * u[1] - 1)
        ).clamp_(0, 1)
    if config.operation:
        images = operation.apply(images)
    if config.blur:
        largest = config.blur * s * images.shape[-1]
        images = _blurred(images, u[2] * largest, radius=math.ceil(2 * largest))
    if config.noise:
        noise = torch.randn(images.shape, device=images.device, generator=stream)
        images = images + (u[3] * (config.noise * s)).view(n, 1, 1, 1) * noise
    if config.erasing:
        images = _erased(images, u[4:6] * min(config.erasing * s, 1), u[6:8])
    return images.clamp(0, 1)


def _recoloured(images: Tensor, angle: Tensor, saturation: Tensor) -> Tensor:
    """Turn the colours (n, 3, h, w) about the axis of greys by `angle` in radians, and move them away from it by the
    factor `saturation`; both (n,). An image's greys and each pixel's mean over the channels stay."""
    grey = torch.full((3, 3), 1 / 3, device=images.device)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) / math.sqrt(3)
    cos, sin, factor = (x.view(-1, 1, 1) for x in (angle.cos(), angle.sin(), saturation))
    matrix = grey + factor * (cos * (torch.eye(3, device=images.device) - grey) + sin * across)
    return (matrix @ images.flatten(2)).view_as(images)


def _blurred(images: Tensor, sigma: Tensor, *, radius: int) -> Tensor:
    """A Gaussian of standard deviation `sigma` (n,) in pixels, cut off at `radius`; edges are reflected."""
    radius = min(radius, min(images.shape[-2:]) - 1)
    if radius < 1:
        return images
    place = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (place / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).view(len(images), -1, 1, 1, 1)
    h, w = images.shape[-2:]
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    zero, taps = torch.zeros((), device=images.device), range(2 * radius + 1)
    across = sum((weights[:, i] * padded[..., i : i + w] for i in taps), start=zero)
    return sum((weights[:, i] * across[..., i : i + h, :] for i in taps), start=zero)


def rectangles(images: Tensor, sides: Tensor, centre: Tensor) -> Tensor:
    """A rectangle in each image.

    Args:
        images: (n, c, h, w).
        sides: (2, n), height and width of the rectangle as shares of the image's.
        centre: (2, n), its middle, in [0, 1]; it may reach over the edge.

    Returns:
        bool (n, 1, h, w), True for the pixels whose middle lies inside.
    """
    inside = []
    for axis, length in enumerate(images.shape[-2:]):
        place = (torch.arange(length, device=images.device) + 0.5) / length
        inside.append((place - centre[axis][:, None]).abs() < sides[axis][:, None] / 2)
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


def _erased(images: Tensor, sides: Tensor, centre: Tensor) -> Tensor:
    """Fill a rectangle of the image with its mean colour (Zhong et al., "Random Erasing", arXiv 1708.04896)."""
    return torch.where(rectangles(images, sides, centre), images.mean(dim=(2, 3), keepdim=True), images)


class _Operation:
    """For each image one of the operations below, dealt out evenly at random, at a random level in [0, 1].

    Shears are part of the one resampling; the others are applied to their images alone.
    """

    def __init__(self, n: int, config: AugmentationConfig, stream: torch.Generator) -> None:
        device = stream.device
        order = torch.rand(n, device=device, generator=stream).argsort()
        kinds = len(_PIXEL_OPERATIONS) + 3
        self._parts = [order[i::kinds] for i in range(kinds)]  # the first stays as it is
        u = torch.rand(2, n, device=device, generator=stream)
        self._level = u[0] * min(config.operation * config.strength, 1.0)
        self._sign = torch.where(u[1] < 0.5, -1.0, 1.0)

    def shears(self) -> tuple[Tensor, Tensor]:
        """Along x and along y, (n,) each, 0 for images that have another operation."""
        amount = _LARGEST_SHEAR * self._level * self._sign
        along = [torch.zeros_like(amount).index_copy(0, part, amount[part]) for part in self._parts[1:3]]
        return along[0], along[1]

    def apply(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] with the operations that move no pixels."""
        for part, operation in zip(self._parts[3:], _PIXEL_OPERATIONS, strict=True):
            if len(part):
                level, sign = self._level[part].view(-1, 1, 1, 1), self._sign[part].view(-1, 1, 1, 1)
                images = images.index_copy(0, part, operation(images[part], level, sign))
        return images


_LARGEST_SHEAR = 0.3


def _gamma(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    return images ** (2 ** (sign * level))


def _autocontrast(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    return torch.lerp(images, (images - low) / (high - low).clamp_min(1e-3), level)


def _equalised(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Towards equal use of all values, each channel by itself."""
    values = (images * 255).round().long().flatten(2)
    counts = torch.zeros(*images.shape[:2], 256, device=images.device)
    counts = counts.scatter_add(2, values, torch.ones_like(values, dtype=counts.dtype))
    rank = (counts.cumsum(2) - counts / 2) / values.shape[2]
    return torch.lerp(images, rank.gather(2, values).view_as(images), level)


def _solarised(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    return torch.where(images > 1 - level, 1 - images, images)


def _posterised(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    values = 2 ** (8 - 6 * level) - 1
    return (images * values).round() / values.clamp_min(1)


def _sharpened(images: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    around = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    return (images + 2 * level * (images - around)).clamp(0, 1)


_PIXEL_OPERATIONS: tuple[Callable[[Tensor, Tensor, Tensor], Tensor], ...] = (
    _gamma,
    _autocontrast,
    _equalised,
    _solarised,
    _posterised,
    _sharpened,
)
