"""The detail that a decoder loses, given back from a real image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from synaug_core.generators.pixels import to_float

__all__ = ["from_second", "restore"]


def from_second(alpha: Tensor, form: Literal["change", "residual"]) -> Tensor:
    """Whose detail an image at share `alpha` (n,) of the way gets: bool (n,), True for the second end.

    `change` takes the first end's everywhere, so that x' = x1 + (dec(z) - dec(z1)): a real image and the decoded
    change. `residual` takes the nearer end's: the first one's for a < 0.5, from there on the second one's.
    """
    return alpha >= 0.5 if form == "residual" else torch.zeros_like(alpha, dtype=torch.bool)


def restore(decoded: Tensor, real: Tensor, decoded_real: Tensor) -> Tensor:
    """The image x' = clip(dec(z) + x - dec(z_x)), float32 in [0, 1].

    Where dec(z) and dec(z_x) are equal to the last bit, that is x, up to rounding far below one of 255 levels.

    Args:
        decoded: dec(z), float32 (n, c, h, w) in [0, 1].
        real: the real image x of each row, uint8, same shape.
        decoded_real: dec(z_x), what the decoder makes of it, float32.
    """
    return decoded.add(to_float(real.to(decoded.device))).sub_(decoded_real).clamp_(0, 1)
