"""What a training's state depends on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synaug_core import digests
from synaug_core.config import GeneratorConfig

__all__ = ["fingerprint"]

_LAYOUT = 2
"""Of the states; one more where the keys of any kind's change, so that no state of another layout is taken up."""


def fingerprint(parts: Mapping[str, Tensor], config: GeneratorConfig, seed: int, device: torch.device) -> str:
    """Digest of what a training's state depends on, so that no other training takes it up."""
    images = {name: digests.of_bytes(part.contiguous().numpy().tobytes()) for name, part in parts.items()}
    parameters = config.model_dump(mode="json")
    return digests.of_value(
        {"layout": _LAYOUT, "images": images, "config": parameters, "seed": seed, "device": device.type}
    )
