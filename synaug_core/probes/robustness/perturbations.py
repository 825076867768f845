"""Disturbed test images: seven kinds in five severities, beyond what the standard arms are trained with.

The list follows Hendrycks and Dietterich (arXiv 1903.12261), who measure with fixed severities what was not trained
with. The traditional augmentation at strength 1 turns by up to 30 degrees, mirrors along the sides, shifts by 10 % and
resizes by 15 %, adds up to 0.15 of brightness and changes the contrast by up to 15 %. Everything here is of another
kind or lies beyond those ranges; a training with wider ones (`classifier.augmentation`), or with
`strong` augmentation, which blurs and adds noise, has met the milder severities.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from synaug_core.seeds import stream

__all__ = ["PARAMETERS", "SEVERITIES", "perturb"]

SEVERITIES = 5

PARAMETERS: dict[str, tuple[float, ...]] = {
    "flip": (0.2, 0.4, 0.6, 0.8, 1.0),
    "rotation": (35.0, 45.0, 60.0, 75.0, 90.0),
    "brightness": (0.4, 0.6, 0.8, 1.0, 1.3),
    "contrast": (0.75, 0.6, 0.45, 0.3, 0.2),
    "noise": (0.02, 0.04, 0.06, 0.1, 0.15),
    "blur": (0.02, 0.03, 0.045, 0.06, 0.08),
    "crop": (0.8, 0.7, 0.6, 0.5, 0.4),
}
"""By name, the parameter of severities 1 to 5.

- flip: share of the images that are mirrored at their diagonal (training mirrors left-right or up-down at most).
- rotation: degrees, to either side; corners from outside the image are its reflection.
- brightness: stops; the light is 2 to the power of plus or minus that many times as strong (training adds a constant).
- contrast: factor of the distance of every pixel from the image's mean.
- noise: standard deviation of Gaussian noise on each value, of a range of 1.
- blur: standard deviation of a Gaussian, as a share of the side.
- crop: share of the side that is kept, at a random place, and enlarged to the whole.
"""


def perturb(images: Tensor, name: str, severity: int, seed: int) -> Tensor:
    """Disturb each image.

    An image draws its sign, place or noise from `seed` alone, on the CPU: the severities of one seed differ in
    strength only, and every device disturbs alike.

    Args:
        images: uint8 (n, c, s, s), values 0 to 255.
        name: a key of `PARAMETERS`.
        severity: 0 to 5; 0 leaves the images as they are.
        seed: of the random draws.

    Returns:
        uint8, same shape and device; a new tensor unless severity is 0.

    Raises:
        ValueError: another dtype or shape, an unknown name, a severity out of range.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images: uint8 (n, c, s, s) expected, got {images.dtype} {tuple(images.shape)}")
    if name not in PARAMETERS:
        raise ValueError(f"perturbation: one of {', '.join(PARAMETERS)} expected, got {name!r}")
    if not 0 <= severity <= SEVERITIES:
        raise ValueError(f"severity: 0 to {SEVERITIES} expected, got {severity}")
    if severity == 0 or not len(images):
        return images
    amount, random = PARAMETERS[name][severity - 1], stream(seed)
    if name == "flip":
        is_replaced = _uniform(images, random) < amount
        return torch.where(is_replaced, images.transpose(2, 3), images)
    disturbed = _MAKE[name](images.float() / 255, amount, random)
    return disturbed.clamp(0, 1).mul(255).round().to(torch.uint8)


def _uniform(images: Tensor, random: torch.Generator) -> Tensor:
    """Float (n, 1, 1, 1) in [0, 1)."""
    return torch.rand(len(images), generator=random).to(images.device).view(-1, 1, 1, 1)


def _sign(images: Tensor, random: torch.Generator) -> Tensor:
    """Float (n, 1, 1, 1): 1 or -1."""
    return (_uniform(images, random) < 0.5).float() * 2 - 1


def _rotation(x: Tensor, degrees: float, random: torch.Generator) -> Tensor:
    angle = math.radians(degrees) * _sign(x, random).flatten()
    return _resampled(x, angle.cos(), angle.sin(), torch.zeros(len(x), 2, device=x.device))


def _crop(x: Tensor, share: float, random: torch.Generator) -> Tensor:
    place = torch.rand(len(x), 2, generator=random).to(x.device) * 2 - 1
    return _resampled(x, x.new_full((len(x),), share), x.new_zeros(len(x)), place * (1 - share))


def _resampled(x: Tensor, along: Tensor, across: Tensor, shift: Tensor) -> Tensor:
    """Bilinear; coordinates run over [-1, 1], `along` and `across` (n,) are the matrix, `shift` is (n, 2)."""
    rows = torch.stack((along, -across, shift[:, 0], across, along, shift[:, 1]), dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _brightness(x: Tensor, stops: float, random: torch.Generator) -> Tensor:
    return x * 2 ** (stops * _sign(x, random))


def _contrast(x: Tensor, factor: float, random: torch.Generator) -> Tensor:
    level = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - level) * factor + level


def _noise(x: Tensor, spread: float, random: torch.Generator) -> Tensor:
    return x + spread * torch.randn(x.shape, generator=random).to(x.device)


def _blur(x: Tensor, share: float, random: torch.Generator) -> Tensor:
    channels, side = x.shape[1], x.shape[2]
    spread = share * side
    reach = min(math.ceil(3 * spread), side - 1)
    line = torch.exp(-(torch.arange(-reach, reach + 1, device=x.device) ** 2) / (2 * spread**2))
    line = (line / line.sum()).expand(channels, 1, 1, -1)
    wide = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="reflect"), line, groups=channels)
    return F.conv2d(F.pad(wide, (0, 0, reach, reach), mode="reflect"), line.transpose(2, 3), groups=channels)


_MAKE = {
    "rotation": _rotation,
    "brightness": _brightness,
    "contrast": _contrast,
    "noise": _noise,
    "blur": _blur,
    "crop": _crop,
}
