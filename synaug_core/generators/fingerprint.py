"""What a training's state depends on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synaug_core import digests
from synaug_core.config import GeneratorConfig

__all__ = ["fingerprint"]


def fingerprint(parts: Mapping[str, Tensor], config: GeneratorConfig, seed: int, device: torch.device) -> str:
    """Digest of what a training's state depends on, so that no other training takes it up."""
    images = {name: digests.of_bytes(part.contiguous().numpy().tobytes()) for name, part in parts.items()}
    return digests.of_value(
        {"images": images, "config": config.model_dump(mode="json"), "seed": seed, "device": device.type}
    )
