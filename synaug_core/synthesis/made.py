"""What a strategy gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from synaug_core.config import SynthesisConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator

__all__ = ["Made", "Strategy"]


@dataclass(frozen=True)
class Made:
    """New images of one class and where each comes from.

    Attributes:
        images: uint8 (n, channels, size, size) on the CPU.
        provenance: n JSON-able dicts; `parents` lists ids of training images.
    """

    images: Tensor
    provenance: list[dict[str, Any]]


class Strategy(Protocol):
    """Makes `n` images of a class from a fitted generator and the class's training images.

    The first m of n images are those that asking for m gives, so that any share of them can be used.

    Raises:
        ConfigError: the generator lacks what the strategy needs.
    """

    def __call__(
        self, generator: Generator, images: ImageSet, class_name: str, n: int, config: SynthesisConfig, *, seed: int
    ) -> Made:
        """See the class."""
        ...
