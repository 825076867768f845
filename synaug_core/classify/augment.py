"""Traditional augmentation of a whole batch at once, on the device the images are on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core.config import AugmentationConfig

__all__ = ["augment"]


def augment(images: Tensor, config: AugmentationConfig, stream: torch.Generator) -> Tensor:
    """Mirror, rotate, shift and resize each image in one bilinear resampling, then change its brightness and contrast.

    Every image draws its own parameters; `strength` multiplies all ranges but the mirroring. What comes in from
    outside an image is its reflection.

    Args:
        images: float, shape (n, c, h, w), values in [0, 1].
        config: ranges and strength; strength 0 leaves the images as they are, mirroring apart.
        stream: of the images' device.

    Returns:
        New images of the same shape and dtype, values in [0, 1].
    """
    n = len(images)
    u = torch.rand(6, n, device=images.device, generator=stream) * 2 - 1
    x_sign, y_sign = _signs(config.mirror, n, images.device, stream)
    if config.strength == 0:
        mirrored = torch.where(x_sign.view(n, 1, 1, 1) < 0, images.flip(-1), images)
        return torch.where(y_sign.view(n, 1, 1, 1) < 0, mirrored.flip(-2), mirrored)
    s = config.strength
    angle = u[0] * (math.radians(config.rotation) * s)
    zoom = (1 + config.scale * s) ** u[1]
    # grid_sample's coordinates run over [-1, 1], so a shift of one side is 2
    shift = u[2:4] * (2 * config.translation * s)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = (cos * x_sign, -sin * y_sign, shift[0], sin * x_sign, cos * y_sign, shift[1])
    theta = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    warped_images = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    level = warped_images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = ((1 + config.contrast * s) ** u[4]).view(n, 1, 1, 1)
    brightness = (u[5] * (config.brightness * s)).view(n, 1, 1, 1)
    return ((warped_images - level) * contrast + level + brightness).clamp_(0, 1).to(images.dtype)


def _signs(mirror: str, n: int, device: torch.device, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """+1 or -1 for each image and axis; -1 mirrors it."""
    signs = (torch.rand(2, n, device=device, generator=stream) < 0.5).float() * 2 - 1
    ones = torch.ones_like(signs[0])
    return signs[0] if mirror != "none" else ones, signs[1] if mirror == "both" else ones
